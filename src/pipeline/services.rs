//! `services`: commands that run beside the command of a task, and how each shows that
//! it is ready.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::error::ExpandError;
use super::expression::Template;
use super::kinds::{Text, duration_schema_of, span};
use super::reader::Reader;
use super::record::{
    Key, Keys, Record, Rendered, Rendering, State, Written, below, described, object,
};
use super::render::Renderer;
use super::verb::Run;
use crate::yaml::{Fields, Node};

/// Time in which a service must be ready, if its task does not say another.
const LIMIT: Duration = Duration::from_secs(30);

/// Maximum length of a service's name, which begins each line of its output.
const MAX_NAME: usize = 40;

/// Commands that run beside a task's own, in the order in which they start.
pub enum Services {}

/// A command that runs beside a task's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Service<S: State = Rendered> {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    /// What it runs, in the foreground.
    pub command: Run<S>,
    /// How it shows that it is ready.
    pub probe: Probe<S>,
    /// Time in which it must be ready.
    pub limit: Duration,
}

/// What shows that a service is ready.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe<S: State = Rendered> {
    /// A port of this machine that accepts connections.
    Tcp(S::Of<Port>),
    /// An address that answers with a status from 200 to 399.
    Http(S::Of<HttpAddress>),
    /// A command that exits with code 0.
    Run(Run<S>),
}

/// A port, as a number or a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub u16);

/// An `http` URL of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAddress {
    /// `localhost`, an IPv4 address that begins with 127, or `::1`.
    pub host: String,
    /// 80 if the URL has none.
    pub port: u16,
    /// With its query; begins with `/`.
    pub path: String,
}

impl HttpAddress {
    const EXPECTED: &str = "an http:// URL of this machine, such as http://127.0.0.1:8080/health";

    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
            None => (rest, "/".to_owned()),
        };
        // It becomes one line of a request.
        let plain = |c: char| c.is_ascii_graphic() && c != '#';
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => Port::parse(port)?.0,
            None if port.is_empty() => 80,
            None => return None,
        };
        (is_loopback(host) && path.chars().all(plain)).then(|| Self {
            host: host.to_owned(),
            port,
            path,
        })
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, path } = self;
        match host.contains(':') {
            true => write!(f, "http://[{host}]:{port}{path}"),
            false => write!(f, "http://{host}:{port}{path}"),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let numbers: Vec<&str> = host.split('.').collect();
    let short = |number: &&str| number.len() <= 3 && number.parse::<u8>().is_ok();
    let v4 = numbers.len() == 4 && numbers[0] == "127" && numbers.iter().all(short);
    v4 || host == "localhost" || host == "::1"
}

impl Port {
    const EXPECTED: &str = "a number from 1 to 65535";

    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| *number > 0 && digits)?;
        Some(Self(number))
    }
}

/// The template at `key`, whose value is checked at once if it needs no evaluation.
fn checked<T>(
    f: &mut Fields<'_>,
    key: &'static str,
    r: &mut Reader,
    parse: fn(&str) -> Option<T>,
    expected: &str,
) -> Option<Template> {
    let node = f.node(key)?;
    let text = node.scalar().unwrap_or_default();
    if !text.contains("${{") && parse(text).is_none() {
        let message = format!("`{key}` is not {expected}");
        r.at(node.span, message, "Correct it.");
        return None;
    }
    let parsed = Template::parse(text);
    parsed
        .map_err(|error| r.at(node.span, error.to_string(), "Correct the expression."))
        .ok()
}

fn rendered<T>(
    written: &Template,
    key: &str,
    by: &Renderer<'_>,
    parse: fn(&str) -> Option<T>,
    expected: &'static str,
) -> Rendering<T> {
    let value = by.render(key, written)?;
    parse(&value).ok_or_else(|| ExpandError::Value {
        instance: by.id.clone(),
        key: key.to_owned(),
        value,
        expected,
    })
}

impl Key for Port {
    type Written = Template;
    type Rendered = Self;

    fn schema() -> Json {
        json!({"type": ["integer", "string"], "minimum": 1, "maximum": 65_535})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Template> {
        checked(f, key, r, Self::parse, Self::EXPECTED)
    }

    fn unset() -> Self {
        Self(1)
    }

    fn render(written: &Template, key: &str, by: &Renderer<'_>) -> Rendering<Self> {
        rendered(written, key, by, Self::parse, Self::EXPECTED)
    }
}

impl Key for HttpAddress {
    type Written = Template;
    type Rendered = Self;

    fn schema() -> Json {
        json!({"type": "string", "pattern": "^(http://|.*\\$\\{\\{)"})
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Template> {
        checked(f, key, r, Self::parse, Self::EXPECTED)
    }

    fn unset() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 80,
            path: "/".to_owned(),
        }
    }

    fn render(written: &Template, key: &str, by: &Renderer<'_>) -> Rendering<Self> {
        rendered(written, key, by, Self::parse, Self::EXPECTED)
    }
}

impl Key for Services {
    type Written = Vec<Service<Written>>;
    type Rendered = Vec<Service>;

    fn schema() -> Json {
        let shell = "The shell that runs a script. Default: that of the task.";
        let command = |about: &str| {
            let mut keys = Keys::default().with::<Option<Text>>("shell", shell);
            let run = described(Run::<Written>::schema(), about);
            keys.properties.insert("run".to_owned(), run);
            keys
        };
        let mut ready = command("A command that exits with code 0 once the service is ready.")
            .with::<Port>("tcp", "A port that accepts connections once it is ready.")
            .with::<HttpAddress>(
                "http",
                "A URL of this machine that answers with a status from 200 to 399 once it is ready.",
            );
        let limit = described(duration_schema_of(LIMIT), "Time in which it must be ready.");
        ready.properties.insert("timeout".to_owned(), limit);
        let about = "How the service shows that it is ready: one of `tcp`, `http` and `run`.";
        let ready = object(about, ready);
        let mut service = command(
            "Program and arguments, which stay in the foreground. A string is a script for the shell.",
        );
        service.properties.insert("ready".to_owned(), ready);
        service.required = vec!["run", "ready"];
        json!({
            "type": "object",
            "additionalProperties": object("A command that runs beside the command of the task.", service),
        })
    }

    fn read(f: &mut Fields<'_>, key: &'static str, r: &mut Reader) -> Option<Self::Written> {
        let shell = f.node("shell").and_then(|node| node.scalar());
        let before = r.defaults.shell.clone();
        r.defaults.shell = shell.map(str::to_owned).or_else(|| before.clone());
        let mut names = BTreeSet::new();
        let mut services = Vec::new();
        for (name, node) in r.pairs(f, key) {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
                let message = format!("`{name}` is not a name of a service");
                let help = format!("Use up to {MAX_NAME} letters, digits, `-` and `_`.");
                r.at(node.span, message, help);
            }
            if !names.insert(name.clone()) {
                let message = format!("there are two services called `{name}`");
                r.at(node.span, message, "Rename one of them.");
            }
            services.extend(service(name, node, r));
        }
        r.defaults.shell = before;
        Some(services)
    }

    fn unset() -> Vec<Service> {
        Vec::new()
    }

    fn render(written: &Self::Written, key: &str, by: &Renderer<'_>) -> Rendering<Vec<Service>> {
        let services = written.iter();
        services
            .map(|service| service.render(&below(key, &service.name), by))
            .collect()
    }
}

fn service(name: String, node: &Node, r: &mut Reader) -> Option<Service<Written>> {
    let mut f = Fields::new(node, "the service", &mut r.mistakes);
    let command = command(&mut f, r);
    if f.node("run").is_none() {
        r.missing(&f, "run");
    }
    let ready = f.node("ready").map(|node| probe(node, r));
    if ready.is_none() {
        let message = format!("the service `{name}` has no `ready`");
        let help = "Say how it shows that it is ready: `ready: { tcp: PORT }`, `{ http: URL }` or `{ run: COMMAND }`.";
        r.at(f.span(), message, help);
    }
    f.finish(&mut r.mistakes);
    let (probe, limit) = ready?;
    Some(Service {
        name,
        command: command?,
        probe: probe?,
        limit,
    })
}

/// The probe of a service, and its time limit.
fn probe(node: &Node, r: &mut Reader) -> (Option<Probe<Written>>, Duration) {
    let mut f = Fields::new(node, "`ready`", &mut r.mistakes);
    let given = ["tcp", "http", "run"].map(|key| f.node(key).is_some());
    let probe = match given {
        [true, false, false] => Port::read(&mut f, "tcp", r).map(Probe::Tcp),
        [false, true, false] => HttpAddress::read(&mut f, "http", r).map(Probe::Http),
        [false, false, true] => command(&mut f, r).map(Probe::Run),
        _ => {
            let message = "`ready` needs exactly one of `tcp`, `http` and `run`";
            let help = "Write `ready: { tcp: 6379 }`, `{ http: 'http://127.0.0.1:8080/' }` or `{ run: [COMMAND] }`.";
            r.at(node.span, message, help);
            None
        }
    };
    f.node("shell");
    let limit = span(&mut f, "timeout", r).unwrap_or(LIMIT);
    f.finish(&mut r.mistakes);
    (probe, limit)
}

/// The command at `run`; a script has the shell beside it, else that of the task.
fn command(f: &mut Fields<'_>, r: &mut Reader) -> Option<Run<Written>> {
    let made = Run::<Written>::read(f, r)?;
    let node = f.node("run");
    let is_script = node.is_some_and(|node| node.scalar().is_some());
    if let Some(node) = node.filter(|_| is_script && made.shell.is_none()) {
        let help = "Write a list of arguments, or add `shell:` to the task.";
        r.at(node.span, "a script needs a shell", help);
    }
    if let Some(node) = node.filter(|_| made.argv.is_empty()) {
        r.at(
            node.span,
            "the command is empty",
            "Write `run: [PROGRAM, ARGUMENT]`.",
        );
    }
    Some(made)
}

impl Service<Written> {
    fn render(&self, key: &str, by: &Renderer<'_>) -> Rendering<Service> {
        let ready = below(key, "ready");
        Ok(Service {
            name: self.name.clone(),
            command: self.command.render(key, by)?,
            probe: match &self.probe {
                Probe::Tcp(port) => Probe::Tcp(Port::render(port, &below(&ready, "tcp"), by)?),
                Probe::Http(address) => {
                    Probe::Http(HttpAddress::render(address, &below(&ready, "http"), by)?)
                }
                Probe::Run(command) => Probe::Run(command.render(&ready, by)?),
            },
            limit: self.limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_probe_is_one_of_this_machine() {
        for (text, shown) in [
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
            ("http://localhost", "http://localhost:80/"),
            ("http://[::1]:81/a?b=c", "http://[::1]:81/a?b=c"),
            ("http://127.9.9.9:1?x", "http://127.9.9.9:1/?x"),
        ] {
            let parsed = HttpAddress::parse(text).map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), Some(shown));
        }
        for text in [
            "https://127.0.0.1/",
            "http://example.com/",
            "http://127.0.0.1.example.com/",
            "http://user@127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:65536/",
            "http://127.0.0.1:+80/",
            "http://127.0.0.1:80/a b",
            "http://127.0.0.1:80/\r\nX: y",
            "http://[::1]x/",
            "http://0.0.0.0:80/",
        ] {
            assert_eq!(HttpAddress::parse(text), None, "{text}");
        }
    }
}
