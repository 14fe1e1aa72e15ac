//! The image that a Dockerfile describes, as far as it copies files and sets values.

use std::fmt::Write as _;

use super::draft::Draft;
use super::files::Folder;
use crate::yaml::scalar;

/// An image to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) name: String,
    base: String,
    layers: Vec<(String, String)>,
    /// Keys of the configuration, with their values in YAML.
    config: Vec<(&'static str, String)>,
    /// Lines that nothing here can do.
    left: Vec<String>,
}

/// The image of the folder's Dockerfile; `None`: it has none, or copies nothing that a
/// task or the checkout has.
pub(super) fn image(folder: &Folder, drafts: &[(&'static str, Draft)]) -> Option<Image> {
    let text = folder.text("Dockerfile")?.replace("\\\n", " ");
    let mut image = Image {
        name: format!("registry.example.com/{}:0.1.0", folder.name()),
        base: "scratch".to_owned(),
        layers: Vec::new(),
        config: Vec::new(),
        left: Vec::new(),
    };
    let mut env: Vec<String> = Vec::new();
    let mut workdir = "/".to_owned();
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word.to_ascii_uppercase().as_str() {
            "" => {}
            _ if line.starts_with('#') => {}
            "FROM" => {
                // The last stage is the image.
                let words = rest.split_whitespace();
                let mut words = words.filter(|word| !word.starts_with("--"));
                image.base = words.next().unwrap_or("scratch").to_owned();
                image.layers.clear();
                image.config.clear();
                image.left.clear();
                env.clear();
                workdir = "/".to_owned();
            }
            "COPY" | "ADD" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                let built = words.iter().any(|word| word.starts_with("--from"));
                let names: Vec<&str> = words
                    .into_iter()
                    .filter(|word| !word.starts_with("--"))
                    .collect();
                let Some((to, from)) = names.split_last() else {
                    continue;
                };
                let to = match to.starts_with('/') {
                    true => (*to).to_owned(),
                    false => format!(
                        "{}/{}",
                        workdir.trim_end_matches('/'),
                        to.trim_start_matches("./")
                    ),
                };
                for from in from {
                    match source(folder, drafts, from, built) {
                        Some((from, is_file)) => {
                            let name = from.rsplit('/').next().unwrap_or_default();
                            let to = match is_file && (to.ends_with('/') || names.len() > 2) {
                                true => format!("{}/{name}", to.trim_end_matches('/')),
                                false => to.trim_end_matches('/').to_owned(),
                            };
                            image.layers.push((from, to));
                        }
                        None => image.left.push(line.to_owned()),
                    }
                }
            }
            "ENV" => {
                let pairs = pairs(rest).into_iter();
                env.extend(pairs.map(|(name, value)| format!("{name}: {}", scalar(&value))));
            }
            "WORKDIR" => {
                rest.clone_into(&mut workdir);
                image.set("workdir", scalar(rest));
            }
            "USER" => image.set("user", scalar(rest)),
            "ENTRYPOINT" => image.set("entrypoint", words(rest)),
            "CMD" => image.set("cmd", words(rest)),
            "EXPOSE" => image.set("ports", words(&format!("[{}]", ports(rest)))),
            "LABEL" | "ARG" | "MAINTAINER" | "HEALTHCHECK" | "STOPSIGNAL" | "SHELL" | "VOLUME"
            | "RUN" | "ONBUILD" => image.left.push(line.to_owned()),
            _ => {}
        }
    }
    if !env.is_empty() {
        image.set("env", format!("{{ {} }}", env.join(", ")));
    }
    (!image.layers.is_empty()).then_some(image)
}

/// The variables of a line: `A=b C="d e"`, or `A b` as it was written once.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in text.chars() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => words.push(String::new()),
            (c, _) => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    match words.first() {
        Some(first) if !first.contains('=') => {
            vec![(first.clone(), words[1..].join(" "))]
        }
        _ => words
            .iter()
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

fn ports(text: &str) -> String {
    let ports = text.split_whitespace().map(|port| format!("\"{port}\""));
    ports.collect::<Vec<_>>().join(", ")
}

/// What a line copies, and whether that is a file: what a task makes under that name, or
/// what the checkout has.
fn source(
    folder: &Folder,
    drafts: &[(&'static str, Draft)],
    from: &str,
    built: bool,
) -> Option<(String, bool)> {
    let from = from.trim_start_matches("./").trim_end_matches('/');
    let name = from.rsplit('/').next()?;
    let mut made = drafts.iter().flat_map(|(_, draft)| {
        let files = draft.delivered.iter();
        files.map(|file| (draft.path(&file.source), file.executable))
    });
    let made =
        made.find(|(path, _)| path == from || built && path.rsplit('/').next() == Some(name));
    let there = !built && !from.is_empty() && from != "." && folder.has(from);
    made.or_else(|| there.then(|| (from.to_owned(), !folder.is_folder(from))))
}

/// A command line as a list in YAML: one in JSON is one already.
fn words(text: &str) -> String {
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(words) => {
            let words: Vec<String> = words.iter().map(|word| scalar(word)).collect();
            format!("[{}]", words.join(", "))
        }
        Err(_) => format!("[/bin/sh, '-c', {}]", scalar(text)),
    }
}

impl Image {
    fn set(&mut self, key: &'static str, value: String) {
        self.config.retain(|(known, _)| *known != key);
        self.config.push((key, value));
    }

    pub(super) fn yaml(&self) -> String {
        let mut text = String::from(
            "  # The image that the Dockerfile describes, built without a daemon. Change its name.\n",
        );
        for line in &self.left {
            let _ = writeln!(text, "  # Not converted: {line}");
        }
        let _ = write!(
            text,
            "  image:\n    image:\n      name: {}\n      base: {}\n      layers:\n",
            scalar(&self.name),
            scalar(&self.base)
        );
        for (from, to) in &self.layers {
            let _ = writeln!(
                text,
                "      - {{ from: {}, to: {} }}",
                scalar(from),
                scalar(to)
            );
        }
        if !self.config.is_empty() {
            text.push_str("      config:\n");
            for (key, value) in &self.config {
                let _ = writeln!(text, "        {key}: {value}");
            }
        }
        text
    }
}
