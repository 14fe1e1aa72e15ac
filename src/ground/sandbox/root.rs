//! The root that a command sees, as a plan.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::overlay::Overlay;
use crate::ground::confine::{Confinement, DEVICES, SYSTEM, settings};

/// Where the workspace of a command is.
pub(crate) const WORK: &str = "/jackal/work";
pub(crate) const HOME: &str = "/jackal/home";
/// The folder for its temporary files.
pub(crate) const TEMPORARY: &str = "/tmp";

/// Maximum size of a file of `/etc` that is copied instead of mounted, in bytes: 16 KiB.
/// A mount costs more than the copy of a small file, and less than that of a large one.
const MAX_COPIED: u64 = 16 << 10;

/// The user and group of every command.
pub(super) const USER: u32 = 1000;
/// The name of the machine that a command sees.
pub(super) const HOST: &str = "jackal";

/// Files of `/etc` that are not those of this machine, and the same for everybody.
fn own() -> [(&'static str, String); 4] {
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\n\
         build:x:{USER}:{USER}:build:{HOME}:/bin/sh\n\
         nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    );
    let group = format!("root:x:0:\nbuild:x:{USER}:\nnogroup:x:65534:\n");
    [
        ("/etc/passwd", passwd),
        ("/etc/group", group),
        (
            "/etc/hosts",
            format!("127.0.0.1 localhost {HOST}\n::1 localhost\n"),
        ),
        ("/etc/hostname", format!("{HOST}\n")),
    ]
}

/// Settings of the machine's network, for commands that use it.
const NETWORK: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// A root to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    /// An empty folder, on which it is made.
    pub at: PathBuf,
    /// The working directory, in the root.
    pub cwd: PathBuf,
    /// Whether the command uses the network of this machine.
    pub network: bool,
    pub mounts: Vec<Mount>,
    pub overlays: Vec<Overlay>,
    /// Symbolic links: target, and path.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Files: path, and content.
    pub files: Vec<(PathBuf, String)>,
}

/// A file or folder of this machine, with all that is mounted below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub from: PathBuf,
    pub to: PathBuf,
    pub writable: bool,
}

impl Root {
    /// The root with the system, and the declared files of `confinement` at their own
    /// paths. The caller adds the folders of the command.
    pub(crate) fn new(at: PathBuf, confinement: &Confinement, network: bool) -> Self {
        let mut root = system().clone();
        root.at = at;
        root.network = network;
        let own = own().into_iter();
        let own = own.filter(|(path, _)| !network || !NETWORK.contains(path));
        root.files
            .extend(own.map(|(path, text)| (PathBuf::from(path), text)));
        if network {
            for path in NETWORK {
                root.copy_or_add(Path::new(path));
            }
        }
        for path in &confinement.readable {
            // Packages have many small files there, and few elsewhere.
            match path.starts_with("/etc") {
                true => root.copy_or_add(path),
                false => root.add(path),
            }
        }
        root
    }

    /// The root of a trial: empty, and made on a folder that every machine has.
    pub(super) fn trial() -> Self {
        Self {
            at: "/tmp".into(),
            cwd: "/".into(),
            ..Self::default()
        }
    }

    /// Adds a folder that the command may change.
    pub(crate) fn writable(&mut self, from: PathBuf, to: impl Into<PathBuf>) {
        self.mounts.push(Mount {
            from,
            to: to.into(),
            writable: true,
        });
    }

    /// Whether the root has `path` already. Its links, such as `/bin`, lead to what is
    /// mounted.
    fn has(&self, path: &Path) -> bool {
        let mut mounts = self.mounts.iter();
        let mut links = self.links.iter();
        mounts.any(|mount| path.starts_with(&mount.to))
            || links.any(|(_, at)| path.starts_with(at))
            || self.files.iter().any(|(at, _)| at == path)
    }

    /// Adds a file or folder at its own path; a link becomes what it leads to.
    fn add(&mut self, path: &Path) {
        if self.has(path) || !path.exists() {
            return;
        }
        self.mounts.push(Mount {
            from: path.to_owned(),
            to: path.to_owned(),
            writable: false,
        });
    }

    /// Adds a file: a small text with the content that it has now.
    fn copy_or_add(&mut self, path: &Path) {
        if self.has(path) {
            return;
        }
        let small = |facts: fs::Metadata| facts.is_file() && facts.len() <= MAX_COPIED;
        match fs::metadata(path)
            .is_ok_and(small)
            .then(|| fs::read_to_string(path))
        {
            Some(Ok(text)) => self.files.push((path.to_owned(), text)),
            _ => self.add(path),
        }
    }

    /// Adds what is at `path` as it is: a link stays one.
    fn mirror(&mut self, path: &Path) -> io::Result<()> {
        let facts = fs::symlink_metadata(path)?;
        if facts.is_symlink() {
            self.links.push((fs::read_link(path)?, path.to_owned()));
        } else {
            self.copy_or_add(path);
        }
        Ok(())
    }
}

/// What every root has; listed once.
fn system() -> &'static Root {
    static FOUND: OnceLock<Root> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut root = Root::default();
        let own = own();
        for path in SYSTEM.map(Path::new) {
            // What is absent on this machine is absent in the root.
            let _ = root.mirror(path);
        }
        let replaced = |path: &Path| {
            let own = own.iter().map(|(own, _)| *own);
            own.chain(NETWORK).any(|own| path == Path::new(own))
        };
        for path in settings() {
            if !replaced(path) {
                let _ = root.mirror(path);
            }
        }
        for path in DEVICES.map(PathBuf::from) {
            if path.exists() {
                // What is written to a device changes no file, and the modes of the
                // machine's own are not for a command to change.
                root.mounts.push(Mount {
                    from: path.clone(),
                    to: path,
                    writable: false,
                });
            }
        }
        root
    })
}
