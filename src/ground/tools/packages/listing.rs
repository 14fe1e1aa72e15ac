//! The packages of a database, whichever its format is.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::disk::look;
use crate::oci::Digest;

/// A package with what it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Package {
    /// Its name and version, for a person.
    pub(crate) label: String,
    /// Its name, version and architecture, and those of its dependencies.
    pub(crate) identity: Digest,
    /// How many packages it depends on, in the end.
    pub(crate) dependencies: usize,
    /// Files in `/etc` of all of these packages, which belong to the machine.
    pub(crate) settings: Vec<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) version: String,
    pub(super) architecture: String,
    /// Of each group, those that are installed.
    pub(super) needs: Vec<Vec<String>>,
}

/// All packages of a database.
#[derive(Default)]
pub(crate) struct Listing {
    pub(super) installed: BTreeMap<String, Installed>,
    /// The packages that bring what is not a package's name.
    pub(super) provided: BTreeMap<String, Vec<String>>,
    /// The paths of each package, each between line breaks.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// The whole database, where its packages cannot be told apart.
    pub(super) opaque: Option<Digest>,
}

/// What dependencies leave out, by the beginning of a package's name: compilers need the
/// headers of the C library, which they only recommend, and what runs commands needs
/// the shell, which is always installed.
const UNSAID: [(&str, &[&str]); 10] = [
    ("gcc", HEADERS),
    ("g++", HEADERS),
    ("clang", HEADERS),
    ("cpp", HEADERS),
    ("tcc", HEADERS),
    ("rustc", HEADERS),
    ("golang", HEADERS),
    ("make", SHELL),
    ("ninja", SHELL),
    ("nodejs", SHELL),
];

const HEADERS: &[&str] = &["libc6-dev", "linux-libc-dev", "musl-dev", "linux-headers"];
const SHELL: &[&str] = &["dash", "bash", "busybox"];

impl Listing {
    pub(super) fn owner(&self, path: &Path) -> Option<Package> {
        if let Some(database) = self.opaque {
            let of_system = path.starts_with("/usr") && !path.starts_with("/usr/local");
            return of_system.then(|| Package {
                label: "the packages of this system, by their database".to_owned(),
                identity: database,
                dependencies: 0,
                settings: Vec::new(),
            });
        }
        let path = path.to_str()?;
        // Before `/bin` became a link, packages named its files so.
        let other = match path.strip_prefix("/usr") {
            Some(short) => short.to_owned(),
            None => format!("/usr{path}"),
        };
        let names = [path, &other].map(|path| format!("\n{path}\n"));
        let has = |files: &[u8]| {
            let mut names = names.iter();
            names.any(|name| memmem::find(files, name.as_bytes()).is_some())
        };
        // A file that one package replaces for another belongs to both.
        let owners = self.files.iter().filter(|(_, files)| has(files));
        let owners: Vec<&str> = owners.map(|(name, _)| name.as_str()).collect();
        self.closure(&owners)
    }

    /// The package called `name`, or those that provide it.
    pub(super) fn package(&self, name: &str) -> Option<Package> {
        if let Some(database) = self.opaque {
            return Some(Package {
                label: format!("{name}, by the database of all packages"),
                identity: database,
                dependencies: 0,
                settings: Vec::new(),
            });
        }
        self.closure(&self.brought_by(name))
    }

    /// The packages that satisfy a dependency on `name`.
    fn brought_by<'s>(&'s self, name: &str) -> Vec<&'s str> {
        match self.installed.get_key_value(name) {
            Some((name, _)) => vec![name],
            None => {
                let found = self.provided.get(name).into_iter().flatten();
                found.map(String::as_str).collect()
            }
        }
    }

    /// `names` with all that they depend on.
    fn closure(&self, names: &[&str]) -> Option<Package> {
        let mut found: BTreeSet<&str> = names.iter().copied().collect();
        let mut open: Vec<&str> = found.iter().copied().collect();
        while let Some(name) = open.pop() {
            let needs = self.installed.get(name).into_iter();
            let needs = needs.flat_map(|package| package.needs.iter().flatten());
            let unsaid = UNSAID.iter().filter(|(start, _)| name.starts_with(start));
            let unsaid = unsaid.flat_map(|(_, needs)| needs.iter().copied());
            let unsaid = unsaid.filter(|need| self.installed.contains_key(*need));
            for need in needs.map(String::as_str).chain(unsaid) {
                for brought in self.brought_by(need) {
                    if found.insert(brought) {
                        open.push(brought);
                    }
                }
            }
        }
        let first = *names.first()?;
        let mut text = names.join(" ");
        for name in &found {
            let package = self.installed.get(*name)?;
            text.push_str(&format!(
                "\n{name} {} {}",
                package.version, package.architecture
            ));
        }
        let own = self.installed.get(first)?;
        let first = first.split(':').next().unwrap_or(first);
        Some(Package {
            label: format!("{first} {} ({})", own.version, own.architecture),
            identity: Digest::of(text.as_bytes()),
            dependencies: found.len() - names.len(),
            settings: self.settings(&found),
        })
    }

    /// The files in `/etc` of packages that everybody may read.
    fn settings(&self, names: &BTreeSet<&str>) -> Vec<PathBuf> {
        let files = names.iter().filter_map(|name| self.files.get(*name));
        let lines = files.flat_map(|files| files.split(|byte| *byte == b'\n'));
        let paths = lines.filter(|line| line.starts_with(b"/etc/"));
        let paths = paths.filter_map(|line| std::str::from_utf8(line).ok());
        let paths: BTreeSet<PathBuf> = paths
            .filter(|path| {
                !OF_THE_MACHINE
                    .iter()
                    .any(|start| path[5..].starts_with(start))
            })
            .map(PathBuf::from)
            .collect();
        let open = |path: &PathBuf| {
            let facts = look::symlink_metadata(path);
            facts.is_ok_and(|facts| facts.is_file() && facts.mode() & 0o004 != 0)
        };
        paths.into_iter().filter(open).collect()
    }
}

/// Names in `/etc` that concern the running machine, and no program that a build starts.
const OF_THE_MACHINE: [&str; 25] = [
    "X11",
    "apparmor",
    "apt",
    "bash",
    "debconf",
    "issue",
    "skel",
    "update-motd",
    "alternatives/README",
    "ca-certificates",
    "cron",
    "dbus",
    "default",
    "dpkg",
    "init",
    "kernel",
    "logcheck",
    "logrotate",
    "modprobe",
    "pam",
    "profile",
    "security",
    "ssl",
    "sysctl",
    "systemd",
];
