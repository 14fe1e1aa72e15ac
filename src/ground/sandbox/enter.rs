//! `internal enter`: leaves this machine's users, processes, mounts and network, and
//! starts `internal init` in its own.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::fs::Mode;
use rustix::mount::mount_bind;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, configure_capability_in_ambient_set,
    set_capabilities,
};

use super::init;
use super::link::{Report, during};
use super::root::{HOST, USER};
use crate::ground::apart::{self, UMASK};

/// The rights that `init` needs, to mount.
const NEEDED: CapabilitySet = CapabilitySet::SYS_ADMIN;

/// Runs a command in namespaces: `[--network] PROGRAM...`, with the plan of its root on
/// the input; or, with `--trial`, makes a root without a command. `program` is this
/// program.
///
/// This process itself stays in its caller's namespace of processes; its child is the
/// first one of the new namespace.
#[must_use]
pub fn enter(program: &Path, mut argv: Vec<OsString>) -> ExitCode {
    let network = argv.first().is_some_and(|first| first == "--network");
    if network {
        argv.remove(0);
    }
    let ended = leave(network).and_then(|()| {
        shield(program)?;
        let mut command = Command::new(program);
        let status = command.args(["internal", "init"]).args(argv).status();
        status.map_err(during("start the first process"))
    });
    match ended {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            Report::Refused(why).send();
            ExitCode::FAILURE
        }
    }
}

fn leave(network: bool) -> Result<(), String> {
    // It leads no session yet: it has just been started.
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::from_raw_mode(UMASK));
    apart::close_inherited();
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let mut flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS;
    if !network {
        flags |= UnshareFlags::NEWNET;
    }
    apart::unshare(flags).map_err(during("make namespaces"))?;
    let map = |file: &str, text: String| {
        // The kernel takes a map in one piece.
        let opened = File::options()
            .write(true)
            .open(Path::new("/proc/self").join(file));
        let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
        written.map_err(during(format!("set {file}")))
    };
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("{USER} {} 1", user.as_raw()))?;
    map("gid_map", format!("{USER} {} 1", group.as_raw()))?;
    // In a further namespace, a command would have rights over what is mounted.
    map("/proc/sys/user/max_user_namespaces", "0".to_owned())?;
    let named = rustix::system::sethostname(HOST.as_bytes());
    named
        .map_err(io::Error::from)
        .map_err(during("name the host"))?;
    if !network {
        raise_loopback().map_err(during("bring up the loopback interface"))?;
    }
    keep(NEEDED).map_err(during("keep rights"))
}

/// Mounts this program's own file read-only: a script whose interpreter is
/// `/proc/self/exe` opens the file of the process that starts it, which is this program.
fn shield(program: &Path) -> Result<(), String> {
    init::system(init::keep_mounts(), "make mounts private", "/")?;
    init::system(mount_bind(program, program), "mount", program)?;
    init::read_only(&[program])
}

/// Keeps `rights` when the next program starts.
fn keep(rights: CapabilitySet) -> io::Result<()> {
    let CapabilitySets {
        effective,
        permitted,
        ..
    } = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            effective,
            permitted,
            inheritable: rights,
        },
    )?;
    Ok(configure_capability_in_ambient_set(rights, true)?)
}

/// Brings up the loopback interface of a new network: servers in tests listen on it.
fn raise_loopback() -> io::Result<()> {
    const NEW_LINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 5;
    const UP: u32 = 1;
    /// It is the first interface of every network.
    const INDEX: i32 = 1;
    // Protocol 0 of this family is that of routes and interfaces.
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let mut message = Vec::with_capacity(32);
    // A header: length, type, flags, sequence, sender.
    message.extend(32_u32.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    message.extend([0; 8]);
    // Family and type: any; index, flags, and which flags change.
    message.extend([0; 4]);
    message.extend(INDEX.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 64];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    // After a header: a negative error number, or zero.
    match answer[..length]
        .get(16..20)
        .and_then(|number| number.try_into().ok())
    {
        Some(number) => match i32::from_ne_bytes(number) {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number.saturating_neg())),
        },
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
