//! Confinement of commands: Landlock rules for the thread that starts one.
//!
//! Used by `process`. The rules are applied to a thread created for the purpose,
//! which starts the command and ends; the command and all its children inherit them,
//! and this process is not affected. Not even a command run by root can trace other
//! processes or read their memory and environment. It never decides which tasks are
//! confined, and does not restrict the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::ground::apart;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};

/// The minimum ABI: with `Refer`, without which files cannot be renamed between
/// folders, as every compiler does.
const NEEDED: ABI = ABI::V2;

/// Paths that every command can read and execute: programs, libraries, and information
/// about the system.
pub(crate) const SYSTEM: [&str; 9] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
];

/// Information about the system and the command itself; a sandbox mounts its own.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev/fd"];

/// Files in `/etc` that programs and the C library read, by the start of the name.
const SETTINGS: [&str; 23] = [
    "alternatives",
    "ca-certificates",
    "debian_version",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "java",
    "ld.so.",
    "locale.",
    "localtime",
    "login.defs",
    "lsb-release",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "perl",
    "protocols",
    "python",
    "resolv.conf",
    "services",
    "timezone",
];

/// Certificates of authorities, by their paths: beside them are private keys.
const CERTIFICATES: [&str; 8] = [
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/java/cacerts",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
];

/// Devices without content, or with random content.
pub(crate) const DEVICES: [&str; 6] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
];

/// The files that a command may use in addition to system files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Can be read, written and executed, with everything below.
    pub writable: Vec<PathBuf>,
    pub readable: Vec<PathBuf>,
}

/// Why a thread could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error(transparent)]
    Rules(#[from] RulesetError),
    /// Root's rights could not be dropped.
    #[error("cannot drop capabilities")]
    Rights(#[from] std::io::Error),
}

/// Whether this kernel can confine a command; checked once.
#[must_use]
pub fn supported() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| ruleset().is_ok())
}

fn ruleset() -> Result<landlock::RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        // Kernels before ABI 3 treat it as writing.
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::Truncate)?
        // Since ABI 6: other programs' processes, and their sockets without a file.
        .scope(Scope::from_all(ABI::V6))?
        .create()
}

/// Keeps the calling thread, and what it starts, from sockets without a file that others
/// made; on a kernel that can (Linux 6.12).
pub(crate) fn leave_sockets() -> Result<(), RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .scope(Scope::AbstractUnixSocket)?;
    rules.create()?.restrict_self()?;
    Ok(())
}

impl Confinement {
    /// Confines the calling thread and the processes it starts, permanently.
    ///
    /// # Errors
    ///
    /// The kernel's reason; the thread must start nothing then.
    pub(crate) fn enforce(&self) -> Result<(), ConfineError> {
        // A confined thread may not mount.
        apart::hide_processes();
        let read = AccessFs::from_read(NEEDED);
        let all = AccessFs::from_all(NEEDED) | AccessFs::Truncate;
        let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
        // Missing paths are skipped.
        ruleset()?
            .add_rules(path_beneath_rules(SYSTEM, read))?
            .add_rules(path_beneath_rules(KERNEL, read))?
            .add_rules(path_beneath_rules(settings(), read))?
            .add_rules(path_beneath_rules(DEVICES, device))?
            .add_rules(path_beneath_rules(&self.readable, read))?
            .add_rules(path_beneath_rules(&self.writable, all))?
            .restrict_self()?;
        Ok(apart::drop_rights()?)
    }

    /// Existing paths in `log` that the rules deny, in order; at most five.
    #[must_use]
    pub fn refused_in(&self, log: &str) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        let ends = |c: char| c.is_whitespace() || "'\"`()[]<>,;:=‘’“”".contains(c);
        for word in log.split(ends).filter(|word| word.starts_with('/')) {
            if found.len() == MAX_NAMED {
                break;
            }
            let path = PathBuf::from(word.trim_end_matches('.'));
            if !found.contains(&path) && path.symlink_metadata().is_ok() && !self.allows(&path) {
                found.push(path);
            }
        }
        found
    }

    /// Whether the rules let a command read `path`.
    pub(crate) fn allows(&self, path: &Path) -> bool {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let within = |allowed: &Path| {
            fs::canonicalize(allowed).is_ok_and(|allowed| real.starts_with(allowed))
        };
        SYSTEM
            .iter()
            .chain(&KERNEL)
            .chain(&DEVICES)
            .any(|s| within(Path::new(s)))
            || settings().iter().any(|s| within(s))
            || self
                .readable
                .iter()
                .chain(&self.writable)
                .any(|s| within(s))
    }
}

/// Whether every command can read `path`, wherever its links lead.
pub(crate) fn is_of_system(path: &Path) -> bool {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    SYSTEM.iter().any(|system| real.starts_with(system))
}

/// Maximum number of paths in a failure; more do not help.
const MAX_NAMED: usize = 5;

/// Entries of `/etc` that every command may read; listed once.
pub(crate) fn settings() -> &'static [PathBuf] {
    static FOUND: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let entries = fs::read_dir("/etc").into_iter().flatten().flatten();
        let named = entries.filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // `passwd-` and `group-` are backups that programs do not read.
            SETTINGS.iter().any(|start| name.starts_with(start)) && !name.ends_with('-')
        });
        let certificates = CERTIFICATES.map(PathBuf::from).into_iter();
        let certificates = certificates.filter(|path| path.exists());
        named
            .map(|entry| entry.path())
            .chain(certificates)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_without_a_file_can_be_left_behind() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

        if ruleset().is_err() {
            return;
        }
        let name = format!("jackal-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        UnixStream::connect_addr(&address).unwrap();
        let left = std::thread::spawn(move || {
            leave_sockets().unwrap();
            UnixStream::connect_addr(&address).map_err(|error| error.kind())
        });
        let status = left.join().unwrap();
        // Older kernels know no such rule.
        if let Err(kind) = status {
            assert_eq!(kind, std::io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn only_existing_denied_paths_are_reported_from_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (folder.path().join("own"), folder.path().join("other"));
        for file in [&own, &other] {
            fs::write(file, "x").unwrap();
        }
        let confinement = Confinement {
            readable: vec![own.clone()],
            ..Confinement::default()
        };
        let log = format!(
            "cat: {}: Permission denied\ncat: '{}'\n/usr/bin /no/such/file {}.\n",
            other.display(),
            own.display(),
            other.display()
        );
        assert_eq!(confinement.refused_in(&log), [other]);
    }
}
