//! The configuration file and the environment, as defaults of flags.
//!
//! What a file or a variable sets becomes the default of its flag before clap
//! reads the command line. So a flag always overrides it, and one parser reads
//! all values. It never changes what a flag means.

mod read;
mod toml;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use self::read::{is_number, pair, parse};
use super::command_error::CommandError;
use super::environment::{home, speaks_zarf, variable};
use super::exit::Exit;
use super::output::note;
use crate::yaml::SourceText;

/// Largest configuration file, in bytes: 1 MiB. A file with every key has a few
/// kilobytes.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// The extensions to look for; the first file that exists is read.
const EXTENSIONS: [&str; 4] = ["toml", "yaml", "yml", "json"];

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Number,
    /// Names with strings.
    Map,
}

/// Which files may set a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Any file, even one in a checkout.
    Any,
    /// Any file; but one in a checkout may only name a folder below its own.
    Below,
    /// The user's own file: the key decides where results come from, or whom to trust.
    Own,
}

/// The command that a key applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Every command that has the flag.
    All,
    /// The program, whatever its command: how its messages look.
    Program,
    /// `jackal package create`.
    Create,
    /// `jackal package publish`.
    Publish,
}

/// A key: its name with dots, and the flag it is the default of.
struct Key {
    name: &'static str,
    kind: Kind,
    reach: Reach,
    arg: &'static str,
    source: Origin,
}

const fn key(name: &'static str, kind: Kind, reach: Reach, arg: &'static str) -> Key {
    Key {
        name,
        kind,
        reach,
        arg,
        source: Origin::Any,
    }
}

/// A key that says where results go. The author of a checkout must not decide what is
/// written outside of it, nor to which registry the user's login is sent.
const fn place(name: &'static str, reach: Reach, arg: &'static str) -> Key {
    Key {
        source: Origin::Below,
        ..key(name, Kind::Text, reach, arg)
    }
}

/// A key of the user's own file. The author of a checkout must not decide where the
/// cache is, whom to trust, or where the bytes of an image come from: a cache may hold
/// false results, a key signs for the user, and an overridden registry puts other bytes
/// under a name that the definition's reader trusts.
const fn own(name: &'static str, kind: Kind, reach: Reach, arg: &'static str) -> Key {
    Key {
        source: Origin::Own,
        ..key(name, kind, reach, arg)
    }
}

/// Every key with an effect. [`OLDER_NAME`] comes before its newer name, which
/// then overrides it.
#[rustfmt::skip] // a key a line
const KEYS: &[Key] = &[
    key("architecture", Kind::Text, Reach::All, "architecture"),
    own("insecure", Kind::Flag, Reach::All, "insecure_skip_tls_verify"),
    own("jackal_cache", Kind::Text, Reach::All, "cache_dir"),
    key("log_format", Kind::Text, Reach::Program, "log_format"),
    key("log_level", Kind::Text, Reach::Program, "log_level"),
    key("no_color", Kind::Flag, Reach::Program, "no_color"),
    key("no_progress", Kind::Flag, Reach::Program, "no_progress"),
    own("tmp_dir", Kind::Text, Reach::Program, "tmpdir"),
    place(OLDER_NAME, Reach::Create, "output"),
    place("package.create.output", Reach::Create, "output"),
    key("package.create.differential", Kind::Text, Reach::Create, "differential"),
    key("package.create.flavor", Kind::Text, Reach::Create, "flavor"),
    key("package.create.max_package_size", Kind::Number, Reach::Create, "max_package_size"),
    own("package.create.registry_override", Kind::Map, Reach::Create, "registry_overrides"),
    place("package.create.sbom_output", Reach::Create, "sbom_out"),
    key("package.create.set", Kind::Map, Reach::Create, SET),
    key("package.create.skip_sbom", Kind::Flag, Reach::Create, "skip_sbom"),
    own("package.create.signing_key", Kind::Text, Reach::Create, "signing_key"),
    own("package.create.signing_key_password", Kind::Text, Reach::Create, "signing_key_pass"),
    key("package.oci_concurrency", Kind::Number, Reach::All, "oci_concurrency"),
    own("package.public_key", Kind::Text, Reach::All, "key"),
    own("package.publish.signing_key", Kind::Text, Reach::Publish, "signing_key"),
    own("package.publish.signing_key_password", Kind::Text, Reach::Publish, "signing_key_pass"),
];

/// The older name of `package.create.output`; still read, but not generated.
const OLDER_NAME: &str = "package.create.output_directory";

/// The flag whose values are merged from all sources.
const SET: &str = "set";

/// Keys and sections of Jackal without an effect here. They are accepted, as both
/// programs read the same file.
const IGNORED: &[&str] = &[
    "dev",
    "init",
    "no_log_file",
    "package.create.sbom",
    "package.deploy",
    "features",
    "package.publish.retries",
    "package.pull",
    "package.sign",
];

/// A flag on the command line, and the setting that it overrides.
const EXCLUDED: [(&str, &str); 4] = [
    ("skip_sbom", "package.create.sbom_output"),
    ("sbom_out", "package.create.skip_sbom"),
    ("sbom_viewer", "package.create.skip_sbom"),
    ("sbom_formats", "package.create.skip_sbom"),
];

/// A file with every key commented out, for files with this extension. `None`:
/// the format has no comments.
pub(super) fn example(command: &Command, extension: &str) -> Option<String> {
    let toml = match extension {
        "toml" => true,
        "yaml" | "yml" => false,
        _ => return None,
    };
    let package = command.find_subcommand("package")?;
    let create = package.find_subcommand("create")?;
    let mut text =
        "# Defaults of flags. A flag, or a variable such as JACKAL_ARCHITECTURE, overrides them.\n"
            .to_owned();
    let mut section = "";
    for key in KEYS.iter().filter(|key| key.name != OLDER_NAME) {
        let (above, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        let parts: Vec<&str> = above.split('.').filter(|part| !part.is_empty()).collect();
        let indent = match toml {
            true => String::new(),
            false => "  ".repeat(parts.len()),
        };
        if above != section {
            section = above;
            text.push('\n');
            match toml {
                true => text.push_str(&format!("[{above}]\n")),
                false => parts.iter().enumerate().for_each(|(depth, part)| {
                    text.push_str(&format!("# {}{part}:\n", "  ".repeat(depth)));
                }),
            }
        }
        let mut args = create.get_arguments().chain(command.get_arguments());
        let arg = args.find(|arg| arg.get_id() == key.arg);
        let help = arg.and_then(|arg| arg.get_help()).map(ToString::to_string);
        if let Some(help) = help.as_deref().and_then(|help| help.lines().next()) {
            text.push_str(&format!("# {indent}# {help}\n"));
        }
        let own = "in your own file, ~/.jackal/jackal-config\n";
        match key.source {
            Origin::Any => {}
            Origin::Below => {
                text.push_str(&format!(
                    "# {indent}# A place outside of this folder: only {own}"
                ));
            }
            Origin::Own => text.push_str(&format!("# {indent}# Only {own}")),
        }
        let value = match key.kind {
            Kind::Text => "\"\"",
            Kind::Flag => "false",
            Kind::Number => "0",
            Kind::Map => "{}",
        };
        let sign = if toml { " =" } else { ":" };
        text.push_str(&format!("# {indent}{name}{sign} {value}\n"));
    }
    Some(text)
}

/// Values by the name of their key.
type Values = BTreeMap<&'static str, Vec<String>>;

/// The settings of the file and the environment, for one command line.
#[derive(Default)]
pub(super) struct Settings {
    values: Values,
    /// Places for results that a file of a checkout names, by flag. They are no
    /// defaults of the flags: the user did not name them.
    of_checkout: BTreeMap<&'static str, PathBuf>,
}

impl Settings {
    /// Reads the file and the environment. Notes on stderr which file is read, if it can
    /// set a flag of the command. If it cannot, only how messages look is read, and a
    /// mistake in it is none of this command.
    ///
    /// # Errors
    ///
    /// Every mistake in the file, or the first malformed variable.
    pub(super) fn read(command: &Command, matches: &ArgMatches) -> Result<Self, CommandError> {
        if concerned(command, matches, "") {
            return Self::read_all(matches, note);
        }
        let mut settings = Self::read_all(matches, |_| ()).unwrap_or_default();
        settings.values.retain(|name, _| is_of_program(name));
        Ok(settings)
    }

    fn read_all(matches: &ArgMatches, note: impl Fn(&str)) -> Result<Self, CommandError> {
        let mut values = Values::new();
        let mut of_checkout = BTreeMap::new();
        for file in find()? {
            let mut read = read_file(&file.path, file.source)?;
            if file.source == Origin::Any {
                for key in KEYS.iter().filter(|key| key.source == Origin::Below) {
                    let named = read.remove(key.name).into_iter().flatten();
                    of_checkout.extend(named.map(|text| (key.arg, PathBuf::from(text))));
                }
            }
            let read: Values = match file.first {
                true => read,
                // The file before it counts, but for what it may not set, and for what the
                // user likes to see.
                false => (read.into_iter())
                    .filter(|(name, _)| is_own(name) || is_of_program(name))
                    .collect(),
            };
            if file.first || !read.is_empty() {
                note(&format!("reading settings from {}", file.path.display()));
            }
            values.extend(read);
        }
        for key in KEYS {
            if let Some(value) = from_environment(key)? {
                values.insert(key.name, value);
            }
        }
        let leaf = innermost(matches);
        for (flag, name) in EXCLUDED {
            let known = leaf.try_contains_id(flag).is_ok();
            if known && leaf.value_source(flag) == Some(ValueSource::CommandLine) {
                values.remove(name);
                if let Some(key) = named(name) {
                    of_checkout.remove(key.arg);
                }
            }
        }
        Ok(Self {
            values,
            of_checkout,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The place for the results of a flag that a file of a checkout names.
    pub(super) fn of_checkout(&self, arg: &str) -> Option<PathBuf> {
        self.of_checkout.get(arg).cloned()
    }

    /// The command with the settings as defaults of its flags.
    pub(super) fn apply(&self, command: Command) -> Command {
        self.apply_below(command, "")
    }

    /// Values of `--set`, which flags are merged with.
    pub(super) fn templates(&self) -> Vec<String> {
        let set = KEYS.iter().filter(|key| key.arg == SET);
        set.filter_map(|key| self.values.get(key.name))
            .flatten()
            .cloned()
            .collect()
    }

    fn apply_below(&self, mut command: Command, path: &str) -> Command {
        for key in KEYS.iter().filter(|key| key.arg != SET) {
            if let Some(values) = self.values.get(key.name)
                && key.reaches(&command, path)
            {
                command = command.mut_arg(key.arg, |arg| arg.default_values(values.clone()));
            }
        }
        let names: Vec<String> = command
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        for name in names {
            let below = format!("{path} {name}");
            command = command.mut_subcommand(name, |command| self.apply_below(command, &below));
        }
        command
    }
}

impl Key {
    fn reaches(&self, command: &Command, path: &str) -> bool {
        let here = match self.reach {
            // The program's own flags are passed on to those of its commands.
            Reach::All => !path.is_empty(),
            Reach::Program => path.is_empty(),
            Reach::Create => path == " package create",
            Reach::Publish => path == " package publish",
        };
        here && command.get_arguments().any(|arg| arg.get_id() == self.arg)
    }

    /// `package.create.flavor` is `JACKAL_PACKAGE_CREATE_FLAVOR`.
    fn variable(&self) -> String {
        format!("JACKAL_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The variable that is set: Zarf's own counts in its dialect, unless ours is set too.
    fn set_variable(&self) -> Option<(String, OsString)> {
        let own = self.variable();
        let of_zarf = speaks_zarf().then(|| own.replace("JACKAL_", "ZARF_"));
        let mut names = [Some(own), of_zarf].into_iter().flatten();
        names.find_map(|name| Some((name.clone(), variable(&name)?)))
    }
}

fn innermost(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, below)) => innermost(below),
        None => matches,
    }
}

/// Whether a key can set a flag of the command.
fn concerned(command: &Command, matches: &ArgMatches, path: &str) -> bool {
    let mut keys = KEYS.iter().filter(|key| key.reach != Reach::Program);
    keys.any(|key| key.reaches(command, path))
        || matches.subcommand().is_some_and(|(name, matches)| {
            command
                .find_subcommand(name)
                .is_some_and(|command| concerned(command, matches, &format!("{path} {name}")))
        })
}

/// A configuration file that was found.
struct Found {
    path: PathBuf,
    source: Origin,
    /// All of its keys count, not only those of the user's own file.
    first: bool,
}

/// The files to read: the one that `JACKAL_CONFIG` names, or the one in the current
/// folder and the one at home. The user's own keys are read from home in any case,
/// so that a file in a checkout cannot hide them.
fn find() -> Result<Vec<Found>, CommandError> {
    let words = words();
    let mut variables = words
        .iter()
        .map(|word| format!("{}_CONFIG", word.to_uppercase()));
    let named = variables.find_map(|name| Some((variable(&name)?, name)));
    if let Some((named, name)) = named.map(|(path, name)| (PathBuf::from(path), name)) {
        if !named.is_file() {
            let message = format!("{name}: no such file: `{}`", named.display());
            return Err(CommandError::usage(message));
        }
        let found = Found {
            path: named,
            source: Origin::Own,
            first: true,
        };
        return Ok(vec![found]);
    }
    let in_folder = |folder: &Path, word: &str| {
        let mut files = EXTENSIONS.map(|end| folder.join(format!("{word}-config.{end}")));
        files
            .iter_mut()
            .find(|file| file.is_file())
            .map(std::mem::take)
    };
    let here = words.iter().find_map(|word| in_folder(Path::new(""), word));
    let at_home = home().and_then(|home| {
        let mut words = words.iter();
        words.find_map(|word| in_folder(&home.join(format!(".{word}")), word))
    });
    let real = |path: &Option<PathBuf>| path.as_ref().and_then(|path| path.canonicalize().ok());
    let same = real(&here).is_some() && real(&here) == real(&at_home);
    let mut found = Vec::new();
    if let Some(path) = here.filter(|_| !same) {
        found.push(Found {
            path,
            source: Origin::Any,
            first: true,
        });
    }
    let first = found.is_empty();
    found.extend(at_home.map(|path| Found {
        path,
        source: Origin::Own,
        first,
    }));
    Ok(found)
}

/// The words in the names of files and variables: Zarf's too in its dialect.
fn words() -> &'static [&'static str] {
    match speaks_zarf() {
        true => &["jackal", "zarf"],
        false => &["jackal"],
    }
}

fn named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether only the user's own file may set `name`.
fn is_own(name: &str) -> bool {
    named(name).is_some_and(|key| key.source == Origin::Own)
}

fn is_of_program(name: &str) -> bool {
    named(name).is_some_and(|key| key.reach == Reach::Program)
}

fn read_file(path: &Path, from: Origin) -> Result<Values, CommandError> {
    let shown = path.display();
    let extension = path.extension().and_then(|extension| extension.to_str());
    let Some(extension) = extension.filter(|known| EXTENSIONS.contains(known)) else {
        let expected = EXTENSIONS.join(", .");
        let message = format!("unknown format of `{shown}`: expected a name ending in .{expected}");
        return Err(CommandError::usage(message));
    };
    let wrong = |message: String| CommandError::new(Exit::Configuration, message);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| CommandError::io(format!("cannot read `{shown}`"), error))?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(wrong(format!(
            "`{shown}` is larger than {MAX_CONFIG_BYTES} bytes"
        )));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| wrong(format!("`{shown}` is not UTF-8 text")))?;
    let source = SourceText::new(path.display().to_string(), text);
    parse(&source, extension, from)
        .map_err(|mistakes| CommandError::new(Exit::Configuration, mistakes))
}

fn from_environment(key: &Key) -> Result<Option<Vec<String>>, CommandError> {
    let Some((name, value)) = key.set_variable() else {
        return Ok(None);
    };
    let wrong = |expected: &str| {
        let message = format!(
            "{name} is `{}`, expected {expected}",
            value.to_string_lossy()
        );
        CommandError::usage(message)
    };
    let text = value.to_str().ok_or_else(|| wrong("UTF-8 text"))?;
    match key.kind {
        Kind::Text => Ok(Some(vec![text.to_owned()])),
        Kind::Number if is_number(text) => Ok(Some(vec![text.to_owned()])),
        Kind::Number => Err(wrong("a whole number")),
        Kind::Flag => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Ok(Some(vec!["true".to_owned()])),
            "false" | "f" | "0" => Ok(Some(vec!["false".to_owned()])),
            _ => Err(wrong("true or false")),
        },
        Kind::Map => {
            let expected = "a JSON object of strings, such as {\"A\": \"b\"}";
            let map: BTreeMap<String, String> =
                serde_json::from_str(text).map_err(|_| wrong(expected))?;
            let pairs = map.iter().map(|(name, text)| pair(key, name, text));
            Ok(Some(pairs.collect()))
        }
    }
}

#[cfg(test)]
mod tests;
