//! Where a key of a task is written, for mistakes that show only once templates
//! have values.

use std::fmt;

use super::verb::NAMES;
use crate::yaml::{self, Node, SourceText, Span, Value};

/// The file with the line and column of `key` in the task of `instance`, else those
/// of the task, else the file alone.
///
/// A nested key is written `layers.from`.
#[must_use]
pub fn place(source: &SourceText, instance: &str, key: &str) -> Place {
    Place {
        file: source.name.clone(),
        span: span_of(source, instance, key),
    }
}

/// A file, and where in it. Shown as `FILE:LINE:COLUMN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// `None`: the file as a whole.
    pub span: Option<Span>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match self.span {
            Some(Span { line, column, .. }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// The place of `key` in the task of `instance`, else that of the task.
#[must_use]
pub fn span_of(source: &SourceText, instance: &str, key: &str) -> Option<Span> {
    let mut parts = key.split('.');
    let first = parts.next().unwrap_or(key);
    let document = yaml::parse_first(source).ok().flatten();
    let tasks = document.as_ref()?.get("tasks")?;
    let named = |wanted: &str| {
        let mut named = pairs(tasks).iter();
        named.find(|(name, _)| name.scalar() == Some(wanted))
    };
    let (name, task) = candidates(instance).find_map(named)?;
    // The verb's keys first: a task may have `tags` as well as `publish`.
    let of_verb = NAMES.iter().find_map(|verb| task.get(verb)?.get(first));
    let Some(mut found) = of_verb.or_else(|| task.get(first)) else {
        return Some(name.span);
    };
    // As far as its mappings go.
    while let Some(below) = parts.next().and_then(|part| found.get(part)) {
        found = below;
    }
    Some(found.span)
}

/// What the task of an instance may be called: its name may begin with a folder, and
/// end with one of its steps.
fn candidates(instance: &str) -> impl Iterator<Item = &str> {
    let name = instance.split('[').next().unwrap_or(instance);
    let colons = || name.match_indices(':').map(|(at, _)| at);
    let starts = std::iter::once(0).chain(colons().map(|at| at + 1));
    starts.flat_map(move |start| {
        let ends =
            std::iter::once(name.len()).chain(colons().collect::<Vec<_>>().into_iter().rev());
        ends.filter_map(move |end| name.get(start..end))
    })
}

fn pairs(node: &Node) -> &[(Node, Node)] {
    match &node.value {
        Value::Mapping(pairs) => pairs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_tasks_and_in_their_verbs() {
        let text = "kind: JackalPipeline\ntasks:\n  p:\n    workdir: x\n    matrix: {to: [a]}\n    publish:\n      packages: q\n      to: oci://r.io\n      tags:\n        - a b\n    services:\n      db: { run: [x] }\n";
        let source = SourceText::new("p.yaml", text);
        for (instance, key, expected) in [
            ("p", "to", "p.yaml:8:11"),
            ("p[a=b:c]", "workdir", "p.yaml:4:14"),
            ("p", "tags", "p.yaml:10:9"),
            ("p", "packages.x", "p.yaml:7:17"),
            ("p", "services.db.run", "p.yaml:12:18"),
            ("p", "services.db.ready", "p.yaml:12:11"),
            ("p", "mirrors", "p.yaml:3:3"),
            ("other", "to", "p.yaml"),
            ("a/b:p:image", "to", "p.yaml:8:11"),
        ] {
            let found = place(&source, instance, key).to_string();
            assert_eq!(found, expected, "{instance} {key}");
        }
        let broken = place(&SourceText::new("x", "["), "p", "to");
        assert_eq!(broken.to_string(), "x");
    }
}
