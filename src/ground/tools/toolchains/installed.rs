//! Versions of a tool that a manager has installed.

use std::path::{Path, PathBuf};

use super::version::{components, is_met};
use crate::disk::look;

/// An installed version of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) tool: String,
    pub(super) version: String,
    pub(super) root: PathBuf,
}

/// Where a toolchain has the program `name`.
pub(super) fn program_in(root: &Path, name: &str) -> PathBuf {
    let usual = root.join("bin").join(name);
    // goenv and asdf put a folder between.
    let other = root.join("go/bin").join(name);
    match !look::exists(&usual) && look::exists(&other) {
        true => other,
        false => usual,
    }
}

/// The installed version that `wanted` stands for.
pub(super) fn best<'i>(wanted: &str, installed: &'i [Installed]) -> Option<&'i Installed> {
    let wanted = wanted.trim_start_matches("python-");
    let exact = |one: &&Installed| {
        let version = one.version.as_str();
        version == wanted || version.strip_prefix('v') == Some(wanted)
    };
    // `stable` stands for `stable-x86_64-unknown-linux-gnu`, and not for an older date.
    let machine = format!("{wanted}-{}", std::env::consts::ARCH);
    let here = |one: &&Installed| one.version.starts_with(&machine);
    let mut all = installed.iter();
    let found = all.clone().find(exact).or_else(|| all.find(here));
    let starts_with_digit = wanted
        .trim_start_matches('v')
        .starts_with(|c: char| c.is_ascii_digit());
    let matching = installed.iter().filter(|one| {
        let number = one.version.trim_start_matches("cpython-");
        starts_with_digit && is_met(wanted, number)
    });
    found.or_else(|| matching.max_by_key(|one| components(&one.version)))
}
