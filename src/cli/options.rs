//! Flags and environment that lead to a plan, for every command that makes one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::command_error::CommandError;
use super::connection::ConnectionArgs;
use crate::app::{BuildOptions, Connection, Target};
use crate::ground::site::Wishes;
use crate::kinds::package::BuildFacts;

/// What every command that makes a plan understands, whatever it plans.
#[derive(Args)]
pub(super) struct SharedArgs {
    #[command(flatten)]
    plain: PlainArgs,
    /// Work on so many things at once (default: the number of processors)
    #[arg(long, short, value_name = "N")]
    pub(super) jobs: Option<usize>,
    /// Run every task, and replace what is cached
    #[arg(long)]
    force: bool,
    /// Fail if jackal.lock lacks a pin
    #[arg(long)]
    locked: bool,
    /// Use no network
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Make no SBOMs
    #[arg(long)]
    skip_sbom: bool,
    /// Split archives into files of this many megabytes (1,000,000 bytes)
    #[arg(long, short, value_name = "MB")]
    max_package_size: Option<u64>,
    /// Pull images whose reference begins with FROM from TO instead; the
    /// package keeps the original names (may be repeated, the longest match counts)
    #[arg(long = "registry-override", value_name = "FROM=TO")]
    registry_overrides: Vec<String>,
    /// Use results that a pipeline published with this package,
    /// oci://HOST/PATH:TAG (may be repeated); who may write there is trusted
    #[arg(long, value_name = "PACKAGE")]
    cache_from: Vec<String>,
    /// What the cache may hold after the build (default: 20GiB)
    #[arg(long, value_name = "SIZE", env = "JACKAL_CACHE_MAX_SIZE")]
    cache_max_size: Option<String>,
    /// Record host and user in the package: it is then no longer reproducible
    #[arg(long)]
    with_build_machine_info: bool,
}

/// What commands understand that read definitions and plan nothing.
#[derive(Args)]
pub(super) struct PlainArgs {
    /// Architecture of the package, such as amd64 or arm64
    #[arg(long, short, value_name = "ARCH")]
    pub(super) architecture: Option<String>,
    /// Take components of this flavor as well
    #[arg(long, short, value_name = "NAME", default_value = "")]
    flavor: String,
    /// Value of a template: for A, ###JACKAL_PKG_TMPL_A### becomes VALUE (may be repeated)
    #[arg(long = "set", value_name = "A=VALUE")]
    set: Vec<String>,
    /// Cache folder (default: ~/.cache/jackal)
    #[arg(long, value_name = "DIR", env = "JACKAL_CACHE")]
    cache_dir: Option<PathBuf>,
}

impl PlainArgs {
    /// Options of a command that takes none of these flags.
    pub(super) fn default_options(
        connection: Connection,
        cache: PathBuf,
    ) -> Result<BuildOptions, CommandError> {
        let nothing = Self {
            architecture: None,
            flavor: String::new(),
            set: Vec::new(),
            cache_dir: Some(cache),
        };
        nothing.into_options(connection)
    }

    pub(super) fn into_options(self, connection: Connection) -> Result<BuildOptions, CommandError> {
        Ok(BuildOptions {
            target: Target::Workspace,
            here: here()?,
            tasks: Vec::new(),
            output: PathBuf::from("."),
            publish: None,
            sign: None,
            cache_from: Vec::new(),
            cache: cache_folder(self.cache_dir)?,
            wishes: Wishes {
                force: false,
                locked: false,
                offline: false,
                jobs: std::thread::available_parallelism().map_or(1, usize::from),
                replay: false,
                environment: variables(),
                program: None,
            },
            keep_going: false,
            connection,
            architecture: self.architecture,
            flavor: self.flavor,
            set: templates(&self.set)?,
            move_pins: false,
            registry_overrides: BTreeMap::new(),
            differential: None,
            skip_sbom: false,
            facts: facts(false)?,
            split: None,
            cache_size: None,
        })
    }
}

/// What every command over a workspace or a pipeline understands.
#[derive(Args)]
pub(super) struct PlanArgs {
    /// Folders with packages; without any, every package of the workspace
    paths: Vec<PathBuf>,
    /// A pipeline file, instead of the implied pipeline of each package
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Value of a pipeline's parameter (may be repeated)
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Only this task and what it needs (may be repeated)
    #[arg(long = "task", value_name = "NAME")]
    pub(super) tasks: Vec<String>,
    /// Folder for archives
    #[arg(long, short, value_name = "DIR", default_value = "dist")]
    output: PathBuf,
    #[command(flatten)]
    shared: SharedArgs,
}

pub(super) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The folder the user stands in.
pub(super) fn here() -> Result<PathBuf, CommandError> {
    let here =
        std::env::current_dir().map_err(|error| CommandError::io("the current folder", error))?;
    Ok(std::fs::canonicalize(&here).unwrap_or(here))
}

/// Where programs are looked up: `PATH`.
pub(super) fn program_folders() -> Vec<PathBuf> {
    std::env::split_paths(&environment("PATH").unwrap_or_default()).collect()
}

/// The cache folder: flag, `JACKAL_CACHE`, `XDG_CACHE_HOME`, `HOME`.
pub(super) fn cache_folder(given: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    given
        .or_else(|| environment("XDG_CACHE_HOME").map(|dir| PathBuf::from(dir).join("jackal")))
        .or_else(|| environment("HOME").map(|dir| PathBuf::from(dir).join(".cache/jackal")))
        .ok_or_else(|| {
            let message = "there is no HOME to keep a cache in: give --cache-dir";
            CommandError::usage(message)
        })
}

impl PlanArgs {
    pub(super) fn into_options(self) -> Result<BuildOptions, CommandError> {
        let params = params(&self.params, &variables())?;
        if self.pipeline.is_none() && !self.params.is_empty() {
            let message = "--param sets a pipeline's parameter: name the file with --pipeline";
            return Err(CommandError::usage(message));
        }
        if self.pipeline.is_some() && !self.paths.is_empty() {
            let message = "folders and --pipeline cannot be built together: give one of them";
            return Err(CommandError::usage(message));
        }
        let target = match self.pipeline {
            Some(file) => Target::Pipeline { file, params },
            None if self.paths.is_empty() => Target::Workspace,
            None => Target::Paths(self.paths),
        };
        let options = self.shared.into_options(target, self.output)?;
        Ok(BuildOptions {
            tasks: self.tasks,
            ..options
        })
    }
}

/// The environment. What is not UTF-8 cannot be part of a key, and is not
/// passed on.
pub(super) fn variables() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl SharedArgs {
    pub(super) fn add_templates(&mut self, set: Vec<String>) {
        self.plain.set.splice(0..0, set);
    }

    pub(super) fn skips_sbom(&self) -> bool {
        self.skip_sbom
    }

    /// Options for `target`, with every task of it.
    pub(super) fn into_options(
        self,
        target: Target,
        output: PathBuf,
    ) -> Result<BuildOptions, CommandError> {
        let split = megabytes(self.max_package_size)?;
        let plain = self
            .plain
            .into_options(self.connection.into_connection()?)?;
        Ok(BuildOptions {
            target,
            wishes: Wishes {
                force: self.force,
                locked: self.locked,
                offline: self.offline,
                jobs: self.jobs.unwrap_or(plain.wishes.jobs).max(1),
                program: std::env::current_exe().ok(),
                ..plain.wishes
            },
            facts: facts(self.with_build_machine_info)?,
            output,
            cache_from: self.cache_from,
            registry_overrides: pairs("--registry-override", &self.registry_overrides)?,
            skip_sbom: self.skip_sbom,
            split,
            cache_size: size("--cache-max-size", self.cache_max_size)?,
            ..plain
        })
    }
}

/// The size that `flag` gives, in bytes.
pub(super) fn size(flag: &str, given: Option<String>) -> Result<Option<u64>, CommandError> {
    let read = given
        .map(|text| crate::pipeline::size::parse(&text))
        .transpose();
    read.map_err(|error| CommandError::usage(format!("{flag}: {error}")))
}

/// `--max-package-size` in bytes; 0 is no limit.
pub(super) fn megabytes(given: Option<u64>) -> Result<Option<u64>, CommandError> {
    let bytes = given.filter(|megabytes| *megabytes > 0).map(|megabytes| {
        let bytes = megabytes.checked_mul(1_000_000);
        bytes.ok_or_else(|| CommandError::usage("--max-package-size is too large"))
    });
    bytes.transpose()
}

/// `NAME=VALUE` texts of a repeated flag; the last of a name counts.
pub(super) fn pairs(
    flag: &str,
    given: &[String],
) -> Result<BTreeMap<String, String>, CommandError> {
    given
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => {
                let message = format!("{flag} `{text}` is not of the form NAME=VALUE");
                Err(CommandError::usage(message))
            }
        })
        .collect()
}

/// `--set` values by upper-case name. One flag may hold several, as one record
/// of comma-separated values: `A=x,B=y`, and with quotes `"A=x,y"`.
pub(super) fn templates(given: &[String]) -> Result<BTreeMap<String, String>, CommandError> {
    let mut fields = Vec::new();
    for text in given {
        fields.extend(record(text).ok_or_else(|| {
            let message = format!("--set `{text}` has a quote that is not closed");
            CommandError::usage(message)
        })?);
    }
    let set = pairs("--set", &fields)?;
    Ok(set
        .into_iter()
        .map(|(name, value)| (name.to_ascii_uppercase(), value))
        .collect())
}

/// The fields of one CSV record; `None` if a quote stays open.
fn record(text: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    let mut start = true;
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if start => quoted = true,
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            ',' if !quoted => {
                fields.push(String::new());
                start = true;
                continue;
            }
            c => field.push(c),
        }
        start = false;
    }
    (!quoted).then_some(fields)
}

/// `--param` before `JACKAL_PARAM_*`.
fn params(
    given: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, CommandError> {
    let mut params: BTreeMap<String, String> = environment
        .iter()
        .filter_map(|(name, value)| {
            Some((
                name.strip_prefix("JACKAL_PARAM_")?.to_owned(),
                value.clone(),
            ))
        })
        .collect();
    params.extend(pairs("--param", given)?);
    Ok(params)
}

/// The build section's facts: `SOURCE_DATE_EPOCH`, else the epoch.
fn facts(machine: bool) -> Result<BuildFacts, CommandError> {
    let timestamp = match environment("SOURCE_DATE_EPOCH") {
        None => 0,
        Some(text) => text
            .to_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                let message = format!(
                    "SOURCE_DATE_EPOCH is `{}`, expected whole seconds since 1970",
                    text.to_string_lossy()
                );
                CommandError::usage(message)
            })?,
    };
    let text = |name| environment(name).map(|text| text.to_string_lossy().into_owned());
    let host = || {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    };
    Ok(BuildFacts {
        timestamp,
        terminal: machine.then(host),
        user: if machine { text("USER") } else { None },
    })
}

/// How many transfers run at the same time.
pub(super) fn transfers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("expected a number from 1 to 1024".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_flag_is_one_record_of_comma_separated_values() {
        let given = [
            "a=1,B=x=y",
            "\"C=v,w\"",
            "D=say \"hi\"",
            "\"E=\"\"q\"\"\"",
            "a=2",
        ];
        let set = templates(&given.map(str::to_owned)).unwrap();
        let expected = [
            ("A", "2"),
            ("B", "x=y"),
            ("C", "v,w"),
            ("D", "say \"hi\""),
            ("E", "\"q\""),
        ];
        assert_eq!(set, expected.map(|(k, v)| (k.into(), v.into())).into());
        assert!(templates(&["\"a=1".to_owned()]).is_err());
        assert!(templates(&["a".to_owned()]).is_err());
    }
}
