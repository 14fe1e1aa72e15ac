//! Managers of versions: programs on `PATH` that start the selected one, and folders with
//! all that are installed. A new one is a row of [`TABLE`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Query;
use super::aliases::Aliases;
use super::installed::{Installed, best, program_in};
use super::layouts::names;
use super::selectors::{self, Read, ReadFolders, above, text};
use super::version::is_met;
use crate::disk::look;
use crate::ground::{Class, Failure};

/// A manager of versions.
struct Manager {
    name: &'static str,
    /// The variable that names its folder, and where it is else, below the home.
    home: (&'static str, &'static str),
    /// The folder of its shims, below its own; empty: it puts the programs themselves on
    /// `PATH`.
    shims: Shims,
    /// Where its versions are, below its own folder: `*` is a version, and `TOOL` one of
    /// several tools.
    versions: &'static str,
    /// The variable that selects a version, where `{TOOL}` is the name in capitals.
    variable: &'static str,
    /// Files that select a version, in the folder of the command or above it.
    files: &'static [(&'static str, Read)],
    /// Files that select one where no other does, below the home.
    defaults: &'static [(&'static str, Read)],
    /// A file below its own folder that selects versions for folders.
    overrides: Option<(&'static str, ReadFolders)>,
    aliases: Aliases,
}

/// What stands for all versions of a program.
enum Shims {
    /// Nothing: `PATH` has a folder of one version, or a link to it.
    No,
    /// The same, and files of the workspace select another one.
    Path,
    /// A folder of shims, below the manager's own.
    In(&'static str),
    /// Links to the manager, or copies of it, in a folder of programs of any origin:
    /// variable, folder below the home, and name of the manager.
    Same(&'static str, &'static str, &'static str),
}

/// The names of all files that select versions.
pub(super) fn selectors() -> impl Iterator<Item = &'static str> {
    let files = TABLE.iter().flat_map(|manager| manager.files);
    files.map(|(name, _)| *name)
}

const PYTHON: &[(&str, Read)] = &[(".python-version", selectors::plain)];
const NODE: &[(&str, Read)] = &[
    (".nvmrc", selectors::plain),
    (".node-version", selectors::plain),
];

const TABLE: &[Manager] = &[
    Manager {
        name: "rustup",
        home: ("RUSTUP_HOME", ".rustup"),
        shims: Shims::Same("CARGO_HOME", ".cargo", "rustup"),
        versions: "toolchains/*",
        variable: "RUSTUP_TOOLCHAIN",
        files: &[
            ("rust-toolchain", selectors::rust_toolchain),
            ("rust-toolchain.toml", selectors::rust_toolchain),
        ],
        defaults: &[("settings.toml", selectors::rustup_settings)],
        overrides: Some(("settings.toml", selectors::rustup_overrides)),
        aliases: Aliases::No,
    },
    Manager {
        name: "pyenv",
        home: ("PYENV_ROOT", ".pyenv"),
        shims: Shims::In("shims"),
        versions: "versions/*",
        variable: "PYENV_VERSION",
        files: PYTHON,
        defaults: &[("version", selectors::plain)],
        overrides: None,
        aliases: Aliases::No,
    },
    Manager {
        name: "uv",
        home: ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python"),
        shims: Shims::No,
        versions: "*",
        variable: "UV_PYTHON",
        files: PYTHON,
        defaults: &[],
        overrides: None,
        aliases: Aliases::No,
    },
    Manager {
        name: "nvm",
        home: ("NVM_DIR", ".nvm"),
        shims: Shims::Path,
        versions: "versions/node/*",
        variable: "",
        files: NODE,
        defaults: &[],
        overrides: None,
        aliases: Aliases::Files("alias"),
    },
    Manager {
        name: "fnm",
        home: ("FNM_DIR", ".local/share/fnm"),
        shims: Shims::Path,
        versions: "node-versions/*/installation",
        variable: "",
        files: NODE,
        defaults: &[],
        overrides: None,
        aliases: Aliases::Links("aliases"),
    },
    Manager {
        name: "volta",
        home: ("VOLTA_HOME", ".volta"),
        shims: Shims::In("bin"),
        versions: "tools/image/TOOL/*",
        variable: "",
        files: &[("package.json", selectors::volta)],
        defaults: &[("tools/user/platform.json", selectors::volta_platform)],
        overrides: None,
        aliases: Aliases::No,
    },
    Manager {
        name: "asdf",
        home: ("ASDF_DATA_DIR", ".asdf"),
        shims: Shims::In("shims"),
        versions: "installs/TOOL/*",
        variable: "ASDF_{TOOL}_VERSION",
        files: &[(".tool-versions", selectors::tool_versions)],
        defaults: &[("../.tool-versions", selectors::tool_versions)],
        overrides: None,
        aliases: Aliases::No,
    },
    Manager {
        name: "mise",
        home: ("MISE_DATA_DIR", ".local/share/mise"),
        shims: Shims::In("shims"),
        versions: "installs/TOOL/*",
        variable: "MISE_{TOOL}_VERSION",
        files: &[
            ("mise.local.toml", selectors::mise),
            ("mise.toml", selectors::mise),
            (".mise.toml", selectors::mise),
            (".tool-versions", selectors::tool_versions),
        ],
        defaults: &[("../../../.config/mise/config.toml", selectors::mise)],
        overrides: None,
        aliases: Aliases::No,
    },
    Manager {
        name: "goenv",
        home: ("GOENV_ROOT", ".goenv"),
        shims: Shims::In("shims"),
        versions: "versions/*",
        variable: "GOENV_VERSION",
        files: &[(".go-version", selectors::plain)],
        defaults: &[("version", selectors::plain)],
        overrides: None,
        aliases: Aliases::No,
    },
    Manager {
        name: "rbenv",
        home: ("RBENV_ROOT", ".rbenv"),
        shims: Shims::In("shims"),
        versions: "versions/*",
        variable: "RBENV_VERSION",
        files: &[(".ruby-version", selectors::plain)],
        defaults: &[("version", selectors::plain)],
        overrides: None,
        aliases: Aliases::No,
    },
    Manager {
        name: "SDKMAN",
        home: ("SDKMAN_DIR", ".sdkman"),
        shims: Shims::Path,
        versions: "candidates/TOOL/*",
        variable: "",
        files: &[(".sdkmanrc", selectors::sdkmanrc)],
        defaults: &[],
        overrides: None,
        aliases: Aliases::No,
    },
];

/// A version that a manager selects.
pub(super) struct Chosen {
    pub(super) manager: &'static str,
    pub(super) root: PathBuf,
    pub(super) program: PathBuf,
    pub(super) version: String,
    pub(super) selected: Option<String>,
    pub(super) reason: String,
}

pub(super) enum Selection {
    /// The program is not one of a manager's.
    No,
    /// The selected version is what else is on `PATH`.
    Elsewhere,
    Found(Chosen),
}

/// Why a version was selected.
#[derive(Default)]
struct Reason {
    /// For a person.
    by: String,
    /// The version, if something of the workspace or the task asks for it.
    selected: Option<String>,
}

/// Finds out which version the manager of a program selects.
pub(super) fn select(query: &Query<'_>) -> Result<Selection, Failure> {
    for manager in TABLE {
        let home = manager.folder(query);
        let is_shim = manager.is_shim(&home, query);
        // Both paths may lead through links.
        let versions = look::canonicalize(&home);
        let is_direct = !is_shim
            && versions.is_ok_and(|home| query.real.starts_with(home))
            && !matches!(manager.shims, Shims::Same(..));
        if is_shim || is_direct {
            return manager.select(&home, query, is_shim);
        }
    }
    Ok(Selection::No)
}

impl Manager {
    fn folder(&self, query: &Query<'_>) -> PathBuf {
        let (variable, usual) = self.home;
        let given = (query.variable)(variable).filter(|folder| !folder.is_empty());
        given.map_or_else(|| query.home.join(usual), PathBuf::from)
    }

    fn is_shim(&self, home: &Path, query: &Query<'_>) -> bool {
        match self.shims {
            Shims::No | Shims::Path => false,
            Shims::In(folder) => query.at.parent().is_some_and(|parent| {
                let shims = home.join(folder);
                parent == shims || look::canonicalize(parent).ok() == Some(shims)
            }),
            Shims::Same(variable, usual, program) => {
                let folder = (query.variable)(variable).map(PathBuf::from);
                let folder = folder.unwrap_or_else(|| query.home.join(usual)).join("bin");
                query.name != program
                    && query.at.parent() == Some(&folder)
                    && is_same(query.real, &folder.join(program))
            }
        }
    }

    fn select(&self, home: &Path, query: &Query<'_>, is_shim: bool) -> Result<Selection, Failure> {
        let mut installed = self.installed(home, query.name);
        if installed.is_empty() {
            // Something else in its folder, such as the manager itself.
            return match is_shim {
                true => Err(self.refuse(query, "has no version with this program", &installed)),
                false => Ok(Selection::No),
            };
        }
        // A path in the folder of one version says which one it is.
        let is_exact = !is_shim && !matches!(self.shims, Shims::Path);
        let (wanted, mut reason) = match is_exact {
            true => (Vec::new(), Reason::default()),
            false => self.wanted_of(home, query, &mut installed),
        };
        let mut chosen = wanted.iter().find_map(|wanted| best(wanted, &installed));
        let direct = installed.iter().find(|one| {
            let root = look::canonicalize(&one.root);
            root.is_ok_and(|root| query.real.starts_with(root))
        });
        if wanted.is_empty() {
            chosen = direct;
        }
        if let Some(version) = query.version
            && !chosen.is_some_and(|one| is_met(version, &one.version))
        {
            // Versions such as `stable` say their number elsewhere.
            let other = best(version, &installed);
            if other.is_none() && chosen.is_none() {
                let why = format!("has no version {version} of it");
                return Err(self.refuse(query, &why, &installed));
            }
            if other.is_some() {
                reason.by = format!("`{}@{version}`", query.name);
            }
            chosen = other.or(chosen);
        }
        let Some(chosen) = chosen else {
            if wanted.iter().any(|wanted| wanted == "system") {
                return Ok(Selection::Elsewhere);
            }
            let why = match wanted.first() {
                Some(wanted) => format!("has no {wanted}, which {} selects", reason.by),
                None => "selects no version".to_owned(),
            };
            return Err(self.refuse(query, &why, &installed));
        };
        let by = match reason.by.is_empty() {
            true => "PATH".to_owned(),
            false => reason.by,
        };
        Ok(Selection::Found(Chosen {
            manager: self.name,
            program: program_in(&chosen.root, query.name),
            root: chosen.root.clone(),
            version: chosen.version.clone(),
            selected: reason.selected,
            reason: format!(
                "{}: {} has {}, which {by} selects",
                query.at.display(),
                self.name,
                chosen.version
            ),
        }))
    }

    /// The same as [`wanted`](Self::wanted). Of several tools that have the program, such as
    /// npm and the node that brings one along, only the first with a version stays: one
    /// that the workspace asks for counts before a default.
    fn wanted_of(
        &self,
        home: &Path,
        query: &Query<'_>,
        installed: &mut Vec<Installed>,
    ) -> (Vec<String>, Reason) {
        let tools: BTreeSet<&str> = installed.iter().map(|one| one.tool.as_str()).collect();
        let mut tools: Vec<String> = tools.into_iter().map(str::to_owned).collect();
        tools.sort_by_key(|tool| (tool != query.name, tool.starts_with("node")));
        if tools.len() > 1 {
            let all = tools.iter().map(|tool| {
                let own = installed.iter().filter(|one| one.tool == *tool);
                let own: Vec<Installed> = own.cloned().collect();
                (self.wanted(home, query, &own), own)
            });
            let all = all.filter(|((wanted, _), _)| !wanted.is_empty());
            // The first of equal ones.
            let first = all.min_by_key(|((_, reason), _)| reason.selected.is_none());
            if let Some((found, own)) = first {
                *installed = own;
                return found;
            }
        }
        self.wanted(home, query, installed)
    }

    /// The versions that are asked for, and by what.
    fn wanted(
        &self,
        home: &Path,
        query: &Query<'_>,
        installed: &[Installed],
    ) -> (Vec<String>, Reason) {
        let tool = installed.first().map_or("", |one| one.tool.as_str());
        let capitals = tool.to_uppercase().replace('-', "_");
        let variable = self.variable.replace("{TOOL}", &capitals);
        let given = (query.variable)(&variable).filter(|given| !given.is_empty());
        if let Some(given) = given.filter(|_| !variable.is_empty()) {
            let reason = Reason {
                by: variable,
                selected: Some(given.clone()),
            };
            return (given.split(':').map(str::to_owned).collect(), reason);
        }
        // The nearest folder counts, whichever of the files it has.
        let near = self.files.iter().filter_map(|(name, read)| {
            let (file, text) = above(query.folder, name)?;
            let wanted = read(&text, tool, &file);
            Some((file, wanted))
        });
        let near = near.filter(|(_, wanted)| !wanted.is_empty());
        let nearest = near.max_by_key(|(file, _)| file.components().count());
        let depth = nearest.as_ref().and_then(|(file, _)| file.parent());
        let depth = depth.map_or(0, |folder| folder.components().count());
        if let Some((file, folder, version)) = self.overridden(home, query)
            && folder.components().count() >= depth
        {
            // A choice of this machine: the workspace does not ask for it.
            let reason = Reason {
                by: format!(
                    "the override for {} in {}",
                    folder.display(),
                    file.display()
                ),
                selected: None,
            };
            return (vec![version], reason);
        }
        if let Some((file, wanted)) = nearest {
            let reason = Reason {
                by: file.display().to_string(),
                selected: Some(wanted.join(" ")),
            };
            let wanted = wanted.into_iter();
            let wanted = wanted.map(|wanted| self.aliases.meant(home, wanted, installed));
            return (wanted.collect(), reason);
        }
        let defaults = self.defaults.iter().find_map(|(name, read)| {
            let file = home.join(name);
            let wanted = read(&text(&file)?, tool, &file);
            (!wanted.is_empty()).then_some((file, wanted))
        });
        match defaults {
            Some((file, wanted)) => {
                let reason = Reason {
                    by: file.display().to_string(),
                    selected: None,
                };
                (wanted, reason)
            }
            None => (Vec::new(), Reason::default()),
        }
    }

    /// The version that is selected for the folder of the command or the nearest one above
    /// it, with the file that says so.
    fn overridden(&self, home: &Path, query: &Query<'_>) -> Option<(PathBuf, PathBuf, String)> {
        let (name, read) = self.overrides?;
        let file = home.join(name);
        let overrides = read(&text(&file)?);
        let folder = look::canonicalize(query.folder);
        let folder = folder.unwrap_or_else(|_| query.folder.to_owned());
        let all = overrides.into_iter();
        let around = all.filter(|(path, _)| folder.starts_with(path));
        let (path, version) = around.max_by_key(|(path, _)| path.components().count())?;
        Some((file, path, version))
    }

    /// The installed versions that have the program `name`.
    fn installed(&self, home: &Path, name: &str) -> Vec<Installed> {
        let (folder, rest) = self.versions.split_once('*').unwrap_or((self.versions, ""));
        let tools = match folder.split_once("TOOL") {
            Some((above, _)) => {
                let above = home.join(above);
                let tools = names(&above).into_iter();
                tools.map(|tool| (tool.clone(), above.join(tool))).collect()
            }
            None => vec![(String::new(), home.join(folder))],
        };
        let mut found = Vec::new();
        for (tool, folder) in tools {
            for version in names(&folder) {
                let root = folder.join(&version).join(rest.trim_start_matches('/'));
                let is_link = look::symlink_metadata(&folder.join(&version))
                    .is_ok_and(|found| found.is_symlink());
                if !is_link && look::exists(&program_in(&root, name)) {
                    let root = root.components().collect();
                    found.push(Installed {
                        tool: tool.clone(),
                        version,
                        root,
                    });
                }
            }
        }
        found
    }

    fn refuse(&self, query: &Query<'_>, why: &str, installed: &[Installed]) -> Failure {
        let versions = installed.iter().map(|one| one.version.as_str());
        let versions: Vec<&str> = versions.collect();
        let help = match versions.as_slice() {
            [] => String::new(),
            versions => format!("; it has {}", versions.join(", ")),
        };
        let message = format!(
            "the tool `{}`: `{}` belongs to {}, which {why}{help}: install it with {}, or select another",
            query.name,
            query.at.display(),
            self.name,
            self.name
        );
        Failure::new(Class::Configuration, message)
    }
}

/// Whether both paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let facts = |path: &Path| look::metadata(path).ok();
    match (facts(one), facts(other)) {
        (Some(one), Some(other)) => one.ino() == other.ino() && one.dev() == other.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_names_every_manager_and_its_files() {
        let guide = include_str!("../../../../docs/guide/pipelines.md");
        let (_, guide) = guide.split_once("## Tools").unwrap();
        let (guide, _) = guide.split_once("\n## ").unwrap();
        for manager in TABLE {
            assert!(guide.contains(manager.name), "{}", manager.name);
            for (file, _) in manager.files {
                assert!(guide.contains(&format!("`{file}`")), "{file}");
            }
        }
    }
}
