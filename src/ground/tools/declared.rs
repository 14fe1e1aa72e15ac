//! Toolchains that a pipeline declares, because no table here knows them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::closure::Tool;
use super::run::printed;
use super::{make, tree};
use crate::codec::Writer;
use crate::disk::look;
use crate::ground::site::Site;
use crate::ground::{Class, Failure};
use crate::oci::Digest;

/// A toolchain of a pipeline, with all paths resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// What a command may read.
    pub(crate) mounts: Vec<PathBuf>,
    pub(crate) identity: Identity,
    /// Folders for `PATH`.
    pub(crate) path: Vec<PathBuf>,
    pub(crate) env: BTreeMap<String, String>,
}

/// What identifies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The content of all that it mounts.
    #[default]
    Content,
    Files(Vec<PathBuf>),
    /// The output of a command, which runs once in each build.
    Command(Vec<String>),
}

/// The toolchain called `name`.
pub(super) fn resolve(site: &Site, name: &str, declared: &Declared) -> Result<Tool, Failure> {
    let refuse = |why: String| {
        let message = format!("the toolchain `{name}` {why}");
        Err(Failure::new(Class::Configuration, message))
    };
    let files = match &declared.identity {
        Identity::Files(files) => files.as_slice(),
        _ => &[],
    };
    for path in declared.mounts.iter().chain(files) {
        if !look::exists(path) {
            let shown = path.display();
            return refuse(format!(
                "needs `{shown}`, which does not exist: install it, or correct `toolchains`"
            ));
        }
    }
    let mut writer = Writer::default();
    let mut reasons = vec![format!("`{name}` is in `toolchains` of the pipeline")];
    for path in declared.mounts.iter().chain(&declared.path) {
        writer.text(&path.to_string_lossy());
    }
    for (name, value) in &declared.env {
        writer.text(name);
        writer.text(value);
    }
    match &declared.identity {
        Identity::Content => {
            for mount in &declared.mounts {
                let tree = tree::read(&site.memory, mount, &[], &[])?;
                writer.digest(&tree.digest);
            }
            reasons.push("identified by its content".to_owned());
        }
        Identity::Files(files) => {
            for digest in make::digests(site, files)? {
                writer.digest(&digest);
            }
            let files = files.iter().map(|file| file.display().to_string());
            let files: Vec<String> = files.collect();
            reasons.push(format!("identified by {}", files.join(", ")));
        }
        Identity::Command(argv) => match output(site, argv) {
            Some(text) => {
                writer.text(&text);
                reasons.push(format!(
                    "identified by `{}`: {}",
                    argv.join(" "),
                    text.trim()
                ));
            }
            None => {
                let command = argv.join(" ");
                return refuse(format!(
                    "is identified by `{command}`, which fails: correct it"
                ));
            }
        },
    }
    let digest = Digest::of(&writer.into_bytes());
    Ok(Tool::of_folders(declared, digest, reasons))
}

impl Tool {
    fn of_folders(declared: &Declared, digest: Digest, reasons: Vec<String>) -> Self {
        let folders = declared.path.iter().map(|folder| (0, folder.clone()));
        Self {
            path: declared.mounts.first().cloned().unwrap_or_default(),
            place: 0,
            digest,
            folders: folders.collect(),
            readable: declared.mounts.clone(),
            env: declared.env.clone(),
            mains: &[],
            version: None,
            by_folder: true,
            reasons,
            may_be_shim: false,
        }
    }
}

fn output(site: &Site, argv: &[String]) -> Option<String> {
    let (program, arguments) = argv.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    for name in ["HOME", "PATH"] {
        if let Some(value) = site.options.environment.get(name) {
            command.env(name, value);
        }
    }
    command.env("LC_ALL", "C");
    let (success, text) = printed(command)?;
    success.then_some(text)
}

/// `path` as it is written in a pipeline in `folder`, by a user whose home is `home`.
pub(crate) fn located(path: &str, folder: &Path, home: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(below) => Path::new(home).join(below),
        None => crate::ground::folders::lexical(&folder.join(path)),
    }
}
