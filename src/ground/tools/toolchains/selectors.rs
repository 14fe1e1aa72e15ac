//! Files that select versions: `rust-toolchain.toml`, `.python-version` and their like.

use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::version::{components, is_met};
use super::{Query, Toolchain};
use crate::disk;
use crate::ground::folders::lexical;
use crate::ground::{Class, Failure};

/// Maximum size of such a file, in bytes: 1 MiB; a `package.json` may be long.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum number of files that extend each other.
const MAX_EXTENDED: usize = 10;

/// Reads which versions of a tool a file selects, the preferred one first.
pub(super) type Read = fn(text: &str, tool: &str, file: &Path) -> Vec<String>;

/// Reads which versions a file selects for folders.
pub(super) type ReadFolders = fn(text: &str) -> Vec<(PathBuf, String)>;

/// One version a line.
pub(super) fn plain(text: &str, _: &str, _: &Path) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// A TOML document as JSON; null: it is none.
fn toml(text: &str) -> Value {
    let table = DeTable::parse(text);
    table.map_or(Value::Null, |table| of_table(table.get_ref()))
}

fn of_table(table: &DeTable<'_>) -> Value {
    let members = table.iter();
    let members = members.map(|(key, value)| {
        let key: &str = key.get_ref();
        (key.to_owned(), of_value(value.get_ref()))
    });
    Value::Object(members.collect())
}

fn of_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.as_ref().to_owned()),
        // A version may be written as a number.
        DeValue::Integer(number) => Value::String(number.as_str().to_owned()),
        DeValue::Float(number) => Value::String(number.as_str().to_owned()),
        DeValue::Array(all) => all.iter().map(|value| of_value(value.get_ref())).collect(),
        DeValue::Table(table) => of_table(table),
        DeValue::Boolean(_) | DeValue::Datetime(_) => Value::Null,
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let text = value.and_then(Value::as_str);
    text.map(str::to_owned).into_iter().collect()
}

/// `rust-toolchain.toml`, or the older file with one line.
pub(super) fn rust_toolchain(text: &str, tool: &str, file: &Path) -> Vec<String> {
    match toml(text) {
        Value::Null => plain(text, tool, file),
        table => texts(
            table
                .pointer("/toolchain/channel")
                .or_else(|| table.pointer("/toolchain/path")),
        ),
    }
}

/// `settings.toml` of rustup.
pub(super) fn rustup_settings(text: &str, _: &str, _: &Path) -> Vec<String> {
    texts(toml(text).get("default_toolchain"))
}

/// What `rustup override set` writes to `settings.toml`.
pub(super) fn rustup_overrides(text: &str) -> Vec<(PathBuf, String)> {
    let settings = toml(text);
    let overrides = settings.get("overrides").and_then(Value::as_object);
    let one = |(folder, version): (&String, &Value)| {
        Some((PathBuf::from(folder), version.as_str()?.to_owned()))
    };
    overrides.into_iter().flatten().filter_map(one).collect()
}

/// `.tool-versions`: a tool and its versions a line.
pub(super) fn tool_versions(text: &str, tool: &str, _: &Path) -> Vec<String> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(line));
    let mut lines = lines.map(str::split_whitespace);
    let found = lines.find_map(|mut words| (words.next() == Some(tool)).then_some(words));
    found.into_iter().flatten().map(str::to_owned).collect()
}

/// `mise.toml`.
pub(super) fn mise(text: &str, tool: &str, _: &Path) -> Vec<String> {
    let table = toml(text);
    let mut names = names_of(tool).into_iter();
    let found = names.find_map(|name| table.get("tools")?.get(name));
    let one = |value: &Value| texts(Some(value.get("version").unwrap_or(value)));
    match found {
        Some(Value::Array(all)) => all.iter().flat_map(one).collect(),
        Some(value) => one(value),
        None => Vec::new(),
    }
}

/// Names of one tool in mise.
fn names_of(tool: &str) -> Vec<&str> {
    match tool {
        "node" => vec!["node", "nodejs"],
        "go" => vec!["go", "golang"],
        tool => vec![tool],
    }
}

/// `.sdkmanrc`: `java=17.0.1-tem` a line.
pub(super) fn sdkmanrc(text: &str, tool: &str, _: &Path) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let mut found = lines.filter(|(name, _)| name.trim() == tool);
    let version = found.next().map(|(_, version)| version.trim().to_owned());
    version.into_iter().collect()
}

/// The member `volta` of `package.json`, which may extend that of another file.
pub(super) fn volta(text: &str, tool: &str, file: &Path) -> Vec<String> {
    let mut package: Value = serde_json::from_str(text).unwrap_or_default();
    let mut file = file.to_owned();
    for _ in 0..MAX_EXTENDED {
        let Some(volta) = package.get("volta") else {
            break;
        };
        let found = texts(volta.get(tool));
        let (true, Some(other)) = (found.is_empty(), volta.get("extends")) else {
            return found;
        };
        let (Some(folder), Some(other)) = (file.parent(), other.as_str()) else {
            break;
        };
        file = lexical(&folder.join(other));
        let text = self::text(&file).unwrap_or_default();
        package = serde_json::from_str(&text).unwrap_or_default();
    }
    Vec::new()
}

/// The versions that volta uses where no package selects one.
pub(super) fn volta_platform(text: &str, tool: &str, _: &Path) -> Vec<String> {
    let platform: Value = serde_json::from_str(text).unwrap_or_default();
    match tool {
        "node" => texts(platform.pointer("/node/runtime")),
        tool => texts(platform.get(tool)),
    }
}

/// The file called `name` in `folder` or the nearest folder above.
pub(super) fn above(folder: &Path, name: &str) -> Option<(PathBuf, String)> {
    folder.ancestors().find_map(|folder| {
        let file = folder.join(name);
        let text = disk::read_text(&file, MAX_BYTES).ok()?;
        Some((file, text))
    })
}

/// The text of the file at `path`.
pub(super) fn text(path: &Path) -> Option<String> {
    disk::read_text(path, MAX_BYTES).ok()
}

/// The version of Go that `go.mod` requires: the installed one, or one that the go
/// command has downloaded.
pub(super) fn go_mod(
    query: &Query<'_>,
    mut local: Toolchain,
    describe: &dyn Fn(PathBuf, PathBuf) -> Toolchain,
) -> Result<Toolchain, Failure> {
    let Some((file, text)) = above(query.folder, "go.mod") else {
        return Ok(local);
    };
    local.by_folder = true;
    let line = |start: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| Some(line.strip_prefix(start)?.trim().to_owned()))
    };
    let wanted = line("toolchain go").or_else(|| line("go "));
    let Some(wanted) = wanted.filter(|wanted| !wanted.starts_with("default")) else {
        return Ok(local);
    };
    let own = local.version.clone().unwrap_or_default();
    let suffices = components(&own) >= components(&wanted);
    local.selected = Some(wanted.clone());
    if suffices || query.version.is_some() {
        return Ok(local);
    }
    let cache = (query.variable)("GOMODCACHE").map(PathBuf::from);
    let paths = (query.variable)("GOPATH").map(|path| PathBuf::from(path).join("pkg/mod"));
    let cache = cache.or(paths).unwrap_or(query.home.join("go/pkg/mod"));
    let folder = cache.join("golang.org");
    let mut names = super::layouts::names(&folder).into_iter();
    let found = names.find(|name| is_of(name, &wanted));
    match found {
        Some(name) => {
            let root = folder.join(name);
            let program = root.join("bin").join(query.name);
            let mut toolchain = describe(root, program);
            toolchain.reasons.insert(
                0,
                format!(
                    "{} requires Go {wanted}, which the go command downloaded",
                    file.display()
                ),
            );
            toolchain.selected = Some(wanted);
            toolchain.by_folder = true;
            Ok(toolchain)
        }
        None => Err(Failure::new(
            Class::Configuration,
            format!(
                "{} requires Go {wanted}, and `{}` is {own}: install it, or run `go version` there, \
                 which downloads it",
                file.display(),
                local.program.display()
            ),
        )),
    }
}

/// Whether a downloaded toolchain called `name` has a version.
fn is_of(name: &str, wanted: &str) -> bool {
    let version = name.strip_prefix("toolchain@v0.0.1-");
    version.is_some_and(|version| is_met(wanted, version))
}
