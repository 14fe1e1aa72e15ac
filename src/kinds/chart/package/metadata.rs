//! `Chart.yaml` as Helm reads and rewrites it: only known keys, sorted, without control
//! characters.
//!
//! Source: Helm v3, `pkg/chart/metadata.go` and `dependency.go`.

use crate::kinds::chart::package::yaml::{Plain, Yaml, emit, plain};
use crate::yaml::{Node, SourceText, Style, Value, parse_first};

/// Maximum nesting in a value that is kept unchanged.
const MAX_DEPTH: usize = 64;

/// The metadata of a chart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `v1` or `v2`.
    pub(crate) api: String,
    /// Names of the charts that it depends on.
    pub(crate) needs: Vec<String>,
    pairs: Vec<(String, Yaml)>,
    dependencies: Vec<Yaml>,
}

/// Parses a document; the error is a message with line and column.
fn document(path: &str, text: &str) -> Result<Node, String> {
    let source = SourceText::new(path, text);
    match parse_first(&source) {
        Ok(Some(node)) => Ok(node),
        Ok(None) => Err(format!("{path}:1:1: empty file, expected a chart `name`")),
        Err(mistakes) => Err(mistakes.list().first().map_or_else(
            || path.to_owned(),
            |mistake| {
                let (line, column) = (mistake.span.line, mistake.span.column);
                format!("{path}:{line}:{column}: {}", mistake.message)
            },
        )),
    }
}

/// The expected type of a key's value.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Texts,
    Flag,
    Map,
    People,
}

const KEYS: [(&str, Shape); 15] = [
    ("name", Shape::Text),
    ("home", Shape::Text),
    ("sources", Shape::Texts),
    ("version", Shape::Text),
    ("description", Shape::Text),
    ("keywords", Shape::Texts),
    ("maintainers", Shape::People),
    ("icon", Shape::Text),
    ("apiVersion", Shape::Text),
    ("condition", Shape::Text),
    ("tags", Shape::Text),
    ("appVersion", Shape::Text),
    ("deprecated", Shape::Flag),
    ("annotations", Shape::Map),
    ("kubeVersion", Shape::Text),
];

impl Metadata {
    /// Parses `text`; messages call it `path`.
    ///
    /// # Errors
    ///
    /// A message with line and column.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, String> {
        let node = document(path, text)?;
        let mut metadata = Self::default();
        for (key, shape) in KEYS {
            let Some(value) = node.get(key).filter(|value| !value.is_null()) else {
                continue;
            };
            let read = match shape {
                Shape::Text => {
                    let text = sanitized(&string(path, value)?);
                    match key {
                        "name" => metadata.name.clone_from(&text),
                        "version" => metadata.version.clone_from(&text),
                        "apiVersion" => metadata.api.clone_from(&text),
                        _ => {}
                    }
                    Yaml::Text(text)
                }
                Shape::Texts => Yaml::List(
                    (value.items().iter())
                        .map(|item| Ok(Yaml::Text(sanitized(&string(path, item)?))))
                        .collect::<Result<_, String>>()?,
                ),
                Shape::Flag => Yaml::Bool(flag(path, value)?),
                Shape::Map => Yaml::Map(strings(path, value)?),
                Shape::People => {
                    let person = |item: &Node| -> Result<Yaml, String> {
                        let mut pairs = Vec::new();
                        for key in ["name", "email", "url"] {
                            if let Some(value) = item.get(key).filter(|v| !v.is_null()) {
                                let text = Yaml::Text(sanitized(&string(path, value)?));
                                pairs.push((key.to_owned(), text));
                            }
                        }
                        Ok(Yaml::Map(without_blank(pairs)))
                    };
                    Yaml::List(value.items().iter().map(person).collect::<Result<_, _>>()?)
                }
            };
            metadata.pairs.push((key.to_owned(), read));
        }
        if let Some(kind) = node.get("type").filter(|value| !value.is_null()) {
            let text = string(path, kind)?;
            if !matches!(text.as_str(), "" | "application" | "library") {
                let what = format!("`type` is `{text}`, expected `application` or `library`");
                return Err(at(path, kind, &what));
            }
            metadata.pairs.push(("type".to_owned(), Yaml::Text(text)));
        }
        metadata.depend(path, &node)?;
        if metadata.api.is_empty() {
            // Helm 2 omitted it.
            metadata.api = "v1".to_owned();
            metadata.pairs.retain(|(key, _)| key != "apiVersion");
            let api = Yaml::Text(metadata.api.clone());
            metadata.pairs.push(("apiVersion".to_owned(), api));
        }
        if metadata.name.is_empty() || metadata.name.contains('/') || metadata.name.starts_with('.')
        {
            let name = &metadata.name;
            return Err(at(
                path,
                &node,
                &format!("the name is `{name}`, expected a valid file name"),
            ));
        }
        if !is_version(&metadata.version) {
            let found = &metadata.version;
            let what =
                format!("the version is `{found}`, expected a semantic version such as 1.2.3");
            return Err(at(path, &node, &what));
        }
        Ok(metadata)
    }

    /// Reads the `dependencies` of a document, `requirements.yaml` among them.
    pub(crate) fn require(&mut self, path: &str, text: &str) -> Result<(), String> {
        let node = document(path, text)?;
        self.depend(path, &node)
    }

    fn depend(&mut self, path: &str, node: &Node) -> Result<(), String> {
        let Some(list) = node.get("dependencies").filter(|list| !list.is_null()) else {
            return Ok(());
        };
        self.needs.clear();
        self.dependencies.clear();
        for item in list.items() {
            let dependency = dependency(path, item, true)?;
            if let Yaml::Map(pairs) = &dependency
                && let Some((_, Yaml::Text(name))) = pairs.iter().find(|(key, _)| key == "name")
            {
                self.needs.push(name.clone());
            }
            self.dependencies.push(dependency);
        }
        Ok(())
    }

    /// `Chart.yaml` of the packaged chart.
    pub(crate) fn render(&self) -> String {
        let mut pairs = without_blank(self.pairs.clone());
        // Charts of the first version keep them in requirements.yaml.
        if self.api != "v1" && !self.dependencies.is_empty() {
            let list = Yaml::List(self.dependencies.clone());
            pairs.push(("dependencies".to_owned(), list));
        }
        emit(&Yaml::Map(pairs))
    }
}

/// A chart that another one depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) name: String,
    /// The accepted versions; empty: any.
    pub(crate) version: String,
    pub(crate) repository: String,
}

impl Needed {
    /// The `dependencies` of a document.
    ///
    /// # Errors
    ///
    /// What is wrong, with line and column.
    pub(crate) fn all(path: &str, text: &str) -> Result<Vec<Self>, String> {
        let node = document(path, text)?;
        let list = node.get("dependencies").map_or(&[][..], Node::items);
        let one = |item: &Node| {
            let text = |key: &str| match item.get(key).filter(|value| !value.is_null()) {
                Some(value) => string(path, value),
                None => Ok(String::new()),
            };
            Ok(Self {
                name: text("name")?,
                version: text("version")?,
                repository: text("repository")?,
            })
        };
        list.iter().map(one).collect()
    }
}

/// `Chart.lock` as Helm rewrites it.
pub(crate) fn lock(path: &str, text: &str) -> Result<String, String> {
    let node = document(path, text)?;
    let one = |key: &str| match node.get(key).filter(|value| !value.is_null()) {
        Some(value) => string(path, value),
        None => Ok(String::new()),
    };
    let generated = match one("generated")? {
        empty if empty.is_empty() => "0001-01-01T00:00:00Z".to_owned(),
        text => text,
    };
    let dependencies = match node.get("dependencies").filter(|list| !list.is_null()) {
        Some(list) => Yaml::List(
            (list.items().iter())
                .map(|item| dependency(path, item, false))
                .collect::<Result<_, _>>()?,
        ),
        None => Yaml::Null,
    };
    Ok(emit(&Yaml::Map(vec![
        ("generated".to_owned(), Yaml::Text(generated)),
        ("digest".to_owned(), Yaml::Text(one("digest")?)),
        ("dependencies".to_owned(), dependencies),
    ])))
}

fn dependency(path: &str, item: &Node, sanitize: bool) -> Result<Yaml, String> {
    let mut pairs = Vec::new();
    for key in ["name", "repository", "version", "condition", "alias"] {
        let text = match item.get(key).filter(|value| !value.is_null()) {
            Some(value) => string(path, value)?,
            None => String::new(),
        };
        let text = if sanitize && key != "alias" {
            sanitized(&text)
        } else {
            text
        };
        // These two are written even if they are empty.
        if !text.is_empty() || matches!(key, "name" | "repository") {
            pairs.push((key.to_owned(), Yaml::Text(text)));
        }
    }
    if let Some(tags) = item.get("tags").filter(|tags| !tags.items().is_empty()) {
        let tags = tags.items().iter().map(|tag| {
            let tag = string(path, tag)?;
            Ok(Yaml::Text(if sanitize { sanitized(&tag) } else { tag }))
        });
        let tags = tags.collect::<Result<_, String>>()?;
        pairs.push(("tags".to_owned(), Yaml::List(tags)));
    }
    if let Some(value) = item.get("enabled").filter(|value| !value.is_null())
        && flag(path, value)?
    {
        pairs.push(("enabled".to_owned(), Yaml::Bool(true)));
    }
    if let Some(values) = item.get("import-values").filter(|v| !v.items().is_empty()) {
        pairs.push(("import-values".to_owned(), kept(path, values, 0)?));
    }
    Ok(Yaml::Map(pairs))
}

fn at(path: &str, node: &Node, what: &str) -> String {
    format!("{path}:{}:{}: {what}", node.span.line, node.span.column)
}

/// A string; numbers and booleans are converted as Go prints them.
fn string(path: &str, node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Scalar(text, Style::Quoted) => Ok(text.clone()),
        Value::Scalar(text, Style::Plain) => Ok(match plain(text) {
            Plain::Bool(flag) => flag.to_string(),
            Plain::Null => String::new(),
            Plain::Number => number(text),
            Plain::Text | Plain::Timestamp | Plain::Merge => text.clone(),
        }),
        _ => Err(at(
            path,
            node,
            &format!("found a {}, expected a string", node.kind()),
        )),
    }
}

fn flag(path: &str, node: &Node) -> Result<bool, String> {
    match &node.value {
        Value::Scalar(text, Style::Plain) => match plain(text) {
            Plain::Bool(flag) => Ok(flag),
            _ => Err(at(
                path,
                node,
                &format!("found `{text}`, expected true or false"),
            )),
        },
        _ => Err(at(
            path,
            node,
            &format!("found a {}, expected true or false", node.kind()),
        )),
    }
}

fn strings(path: &str, node: &Node) -> Result<Vec<(String, Yaml)>, String> {
    let Value::Mapping(pairs) = &node.value else {
        return Err(at(
            path,
            node,
            &format!("found a {}, expected a mapping of strings", node.kind()),
        ));
    };
    let pair =
        |(key, value): &(Node, Node)| Ok((string(path, key)?, Yaml::Text(string(path, value)?)));
    pairs.iter().map(pair).collect()
}

/// Any value, with its YAML types.
fn kept(path: &str, node: &Node, depth: usize) -> Result<Yaml, String> {
    if depth > MAX_DEPTH {
        return Err(at(path, node, "a value nested deeper than 64 levels"));
    }
    Ok(match &node.value {
        Value::Scalar(text, Style::Quoted) => Yaml::Text(text.clone()),
        Value::Scalar(text, Style::Plain) => match plain(text) {
            Plain::Bool(flag) => Yaml::Bool(flag),
            Plain::Null => Yaml::Null,
            Plain::Number => Yaml::Number(number(text)),
            Plain::Text | Plain::Timestamp | Plain::Merge => Yaml::Text(text.clone()),
        },
        Value::Sequence(items) => Yaml::List(
            (items.iter())
                .map(|item| kept(path, item, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        Value::Mapping(pairs) => {
            let pair = |(key, value): &(Node, Node)| {
                Ok((string(path, key)?, kept(path, value, depth + 1)?))
            };
            Yaml::Map(pairs.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}

/// A number as Go prints it: integers in decimal digits, others in the shortest form
/// that parses to the same value.
fn number(text: &str) -> String {
    let bare = text.replace('_', "");
    let (sign, digits) = match bare.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", bare.trim_start_matches('+')),
    };
    let lower = digits.to_ascii_lowercase();
    let radix = [("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)]
        .into_iter()
        .find_map(|(begin, radix)| i64::from_str_radix(lower.strip_prefix(begin)?, radix).ok());
    if let Some(whole) = radix.or_else(|| digits.parse::<i64>().ok()) {
        return if whole == 0 {
            "0".to_owned()
        } else {
            format!("{sign}{whole}")
        };
    }
    let Ok(value) = bare.parse::<f64>() else {
        return text.to_owned();
    };
    // `{:e}` has the fewest digits; Go writes the exponent from -5 and 21 on.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

/// Replaces white space with spaces and removes invisible characters.
fn sanitized(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            c if c.is_whitespace() => Some(' '),
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => None,
            '\u{ad}' | '\u{e000}'..='\u{f8ff}' => None,
            c => (!c.is_control()).then_some(c),
        })
        .collect()
}

/// Removes values that Go's writer omits as empty.
fn without_blank(mut pairs: Vec<(String, Yaml)>) -> Vec<(String, Yaml)> {
    pairs.retain(|(_, value)| match value {
        Yaml::Text(text) => !text.is_empty(),
        Yaml::List(items) => !items.is_empty(),
        Yaml::Map(pairs) => !pairs.is_empty(),
        Yaml::Bool(flag) => *flag,
        Yaml::Null => false,
        Yaml::Number(_) => true,
    });
    pairs
}

/// Whether Helm accepts it as a version: one to three numbers and optional suffixes.
pub(crate) fn is_version(text: &str) -> bool {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let (rest, build) = bare
        .split_once('+')
        .map_or((bare, None), |(a, b)| (a, Some(b)));
    let (core, pre) = rest
        .split_once('-')
        .map_or((rest, None), |(a, b)| (a, Some(b)));
    let numbers: Vec<&str> = core.split('.').collect();
    let number = |n: &&str| !n.is_empty() && n.len() <= 20 && n.bytes().all(|b| b.is_ascii_digit());
    let words = |text: &str| {
        let word =
            |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        text.split('.').all(word)
    };
    numbers.len() <= 3
        && numbers.iter().all(number)
        && pre.is_none_or(words)
        && build.is_none_or(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_file_is_written_again_with_known_keys_sorted() {
        let text = "# a chart\nname: web\nversion: 1.2.3\napiVersion: v2\nappVersion: 1.10\n\
                    unknown: x\ndescription: |\n  two\n  lines\nmaintainers:\n- email: a@b\n  name: A\n\
                    deprecated: false\nkeywords: []\ndependencies:\n- name: db\n  version: ~1.2\n\
                    \u{20} tags: [t]\n  enabled: yes\n";
        let metadata = Metadata::parse("Chart.yaml", text).unwrap();
        assert_eq!(metadata.needs, ["db"]);
        assert_eq!(
            metadata.render(),
            "apiVersion: v2\nappVersion: \"1.1\"\ndependencies:\n- enabled: true\n  name: db\n  \
             repository: \"\"\n  tags:\n  - t\n  version: ~1.2\ndescription: 'two lines '\n\
             maintainers:\n- email: a@b\n  name: A\nname: web\nversion: 1.2.3\n"
        );
    }

    #[test]
    fn mistakes_are_reported_with_their_place() {
        let error = |text: &str| Metadata::parse("c/Chart.yaml", text).unwrap_err();
        assert!(error("name: a\nversion: [1]\n").starts_with("c/Chart.yaml:2:10: "));
        assert!(error("name: a\nversion: x\n").contains("version is `x`"));
        assert!(error("name: ../a\nversion: 1.0.0\n").contains("name is `../a`"));
        assert!(error("name: a\nversion: 1.0.0\ntype: lib\n").contains(":3:7: `type` is `lib`"));
        assert!(error("a: [").starts_with("c/Chart.yaml:"));
    }

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        for (text, printed) in [
            ("1.10", "1.1"),
            ("1.0", "1"),
            ("0x1F", "31"),
            ("1e3", "1000"),
            ("010", "8"),
            ("1_000", "1000"),
            ("-7", "-7"),
            ("1e21", "1e+21"),
            ("0.00001", "1e-05"),
        ] {
            assert_eq!(number(text), printed, "{text}");
        }
    }
}
