//! System calls that a command may not make: what they reach belongs to no namespace.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// Keys of the kernel, which tasks and their caller share; and queues of system calls,
/// whose entries no filter sees.
const REFUSED: [i64; 6] = [
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
];

/// The families of sockets that a network namespace holds. Others, such as those to the
/// host of a virtual machine, reach out of it.
const FAMILIES: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Keeps the calling thread, and what it starts, from these system calls.
pub(super) fn apply() -> Result<(), String> {
    let other_family = FAMILIES
        .iter()
        .map(|family| {
            let family = u64::from(family.unsigned_abs());
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
        })
        .collect::<Result<Vec<_>, _>>()
        .and_then(SeccompRule::new);
    let other_family = other_family.map_err(|error| format!("filter sockets: {error}"))?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        rules.insert(call, vec![other_family.clone()]);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into();
    let program = architecture
        .and_then(|architecture| {
            SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture)
        })
        .and_then(BpfProgram::try_from);
    let program = program.map_err(|error| format!("filter system calls: {error}"))?;
    apply_filter(&program).map_err(|error| format!("filter system calls: {error}"))
}
