//! Leaves this machine's users, mounts, processes and network.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;

use fork::Fork;
use rustix::mount::mount_bind;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, LinkNameSpaceType, UnshareFlags, capabilities,
    configure_capability_in_ambient_set, move_into_link_name_space, set_capabilities,
};

use super::super::apart;
use super::super::link::during;
use super::mounts::{self, MOUNTS};
use super::root::{HOST, USER};

/// The rights that making a root needs: to mount, to return to other mounts, to bring up a
/// network, and to use the folder without permissions that an overlay makes beside its upper
/// one.
const NEEDED: [CapabilitySet; 4] = [
    CapabilitySet::SYS_ADMIN,
    CapabilitySet::SYS_CHROOT,
    CapabilitySet::NET_ADMIN,
    CapabilitySet::DAC_OVERRIDE,
];

/// Leaves what commands may share: gets a namespace of users, of mounts and of names for
/// this process. `program` is this program; what starts from its path afterwards cannot
/// change it.
pub(in crate::ground) fn leave(program: &Path) -> Result<(), String> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWUTS;
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
    shield(program)?;
    keep(&NEEDED).map_err(during("keep rights"))
}

/// Does the work of the first process of a new namespace of processes, which has its own
/// mounts; returns once it has ended, in both.
///
/// What it starts can be in further such namespaces, each below its own: only to its own
/// can a process return, and so make another for what it starts next.
pub(in crate::ground) fn apart(first: impl FnOnce() -> ExitCode) -> Result<ExitCode, String> {
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWPID;
    apart::unshare(flags).map_err(during("make namespaces"))?;
    match fork::fork().map_err(during("start the first process"))? {
        Fork::Child => Ok(first()),
        Fork::Parent(pid) => {
            succeeded(pid);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Waits for the end of the child `pid`; whether it was a success.
pub(in crate::ground) fn succeeded(pid: i32) -> bool {
    loop {
        match waitpid(Pid::from_raw(pid), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            ended => {
                return matches!(ended, Ok(Some((_, status))) if status.exit_status() == Some(0));
            }
        }
    }
}

/// Makes a namespace of processes for the next one that this process starts; `own` is
/// that of this process.
pub(super) fn next(own: &File) -> Result<(), String> {
    beside(own)?;
    apart::unshare(UnshareFlags::NEWPID).map_err(during("make namespaces"))
}

/// Makes the next process that this one starts one of its own namespace `own`.
pub(super) fn beside(own: &File) -> Result<(), String> {
    enter(own, LinkNameSpaceType::ProcessID)
}

/// Returns to the mounts in `own`.
pub(super) fn back(own: &File) -> Result<(), String> {
    enter(own, LinkNameSpaceType::Mount)
}

fn enter(namespace: &File, kind: LinkNameSpaceType) -> Result<(), String> {
    let entered = move_into_link_name_space(namespace.as_fd(), Some(kind));
    entered
        .map_err(io::Error::from)
        .map_err(during("enter namespaces"))
}

/// Leaves the rest, which each command has for itself.
pub(super) fn leave_rest(network: bool) -> Result<(), String> {
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWIPC;
    if !network {
        flags |= UnshareFlags::NEWNET;
    }
    apart::unshare(flags).map_err(during("make namespaces"))?;
    if !network {
        raise_loopback().map_err(during("bring up the loopback interface"))?;
    }
    Ok(())
}

/// Mounts this program's own file read-only: a script whose interpreter is
/// `/proc/self/exe` opens the file of the process that starts it, which is this program.
fn shield(program: &Path) -> Result<(), String> {
    let table = File::open(MOUNTS).map_err(during("list mounts"))?;
    let program = fs::canonicalize(program).map_err(during("find this program"))?;
    mounts::system(mounts::keep_mounts(), "make mounts private", "/")?;
    mounts::system(mount_bind(&program, &program), "mount", &program)?;
    mounts::read_only(&[program], table)
}

/// Keeps `rights` when the next program starts.
fn keep(rights: &[CapabilitySet]) -> io::Result<()> {
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
            inheritable: rights.iter().copied().collect(),
        },
    )?;
    for right in rights {
        configure_capability_in_ambient_set(*right, true)?;
    }
    Ok(())
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
