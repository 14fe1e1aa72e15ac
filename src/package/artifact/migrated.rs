//! The definition of a package that is written in today's form.
//!
//! Only lines are added and replaced, so that everything else stays byte for byte.

/// Why a definition cannot be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the definition has no `{0}:` section in block style, so nothing can be added to it")]
pub struct EditError(&'static str);

/// The definition `text` with the aggregate checksum `aggregate`, and with `changes` in
/// `build.migrations`.
///
/// # Errors
///
/// [`EditError`]
pub fn migrated(text: &str, aggregate: &str, changes: &[&str]) -> Result<String, EditError> {
    let text = with_key(text, "metadata", "aggregateChecksum", aggregate)?;
    let (start, end, indent) = section(&text, "build").ok_or(EditError("build"))?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let key = format!("{indent}migrations:");
    let list = (start..end).find(|at| lines[*at].trim_end() == key);
    let is_item = |line: &str| line.trim_start().starts_with("- ");
    let known = |change: &str| {
        let mut items = lines[start..end].iter().filter(|line| is_item(line));
        items.any(|line| line.trim() == format!("- {change}"))
    };
    let new: Vec<&&str> = changes.iter().filter(|change| !known(change)).collect();
    if new.is_empty() {
        return Ok(text);
    }
    let (at, head, indent) = match list {
        Some(list) => {
            let items = lines[list + 1..end].iter().take_while(|line| is_item(line));
            let first = lines.get(list + 1).filter(|line| is_item(line));
            let inner = first.map_or(indent.as_str(), |line| {
                &line[..line.len() - line.trim_start().len()]
            });
            (list + 1 + items.count(), String::new(), inner.to_owned())
        }
        None => (end, format!("{key}\n"), indent),
    };
    let mut edited = lines[..at].concat();
    if !edited.ends_with('\n') {
        edited.push('\n');
    }
    edited.push_str(&head);
    for change in new {
        edited.push_str(&format!("{indent}- {change}\n"));
    }
    edited.push_str(&lines[at..].concat());
    Ok(edited)
}

/// Keys of `build` that programs before v0.32 wrote.
const BUILD: [&str; 9] = [
    "terminal",
    "user",
    "architecture",
    "timestamp",
    "version",
    "differential",
    "differentialMissing",
    "registryOverrides",
    "migrations",
];

/// The definition `text` as a program of the earlier version `version` would have written
/// it: with the checksum `aggregate`, and with what it knew of migrations.
///
/// # Errors
///
/// [`EditError`]
pub fn earlier(
    text: &str,
    version: &str,
    aggregate: Option<&str>,
    has_migrations: bool,
) -> Result<String, EditError> {
    let text = text.strip_prefix("---\n").unwrap_or(text);
    let text = blocks(text, "build", &|key| {
        BUILD.contains(&key) && (has_migrations || key != "migrations")
    })?;
    let text = blocks(&text, "metadata", &|key| key != "aggregateChecksum")?;
    let text = match aggregate {
        Some(aggregate) => with_key(&text, "metadata", "aggregateChecksum", aggregate)?,
        None => text,
    };
    let text = with_key(&text, "build", "version", version)?;
    Ok(match has_migrations {
        true => text,
        false => without_actions(&text),
    })
}

/// `text` with only those keys of the section `name` that `keep` accepts.
fn blocks(
    text: &str,
    name: &'static str,
    keep: &dyn Fn(&str) -> bool,
) -> Result<String, EditError> {
    let (start, end, indent) = section(text, name).ok_or(EditError(name))?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut kept = lines[..start].concat();
    let mut keeps = true;
    for line in &lines[start..end] {
        if let Some(key) = key_at(line, &indent) {
            keeps = keep(key);
        }
        if keeps {
            kept.push_str(line);
        }
    }
    kept.push_str(&lines[end..].concat());
    Ok(kept)
}

/// Components that still have `scripts`, without the `actions` that were made of them.
fn without_actions(text: &str) -> String {
    let mut kept = String::new();
    let mut item: Vec<&str> = Vec::new();
    let mut flush = |item: &mut Vec<&str>| {
        let indent = item.iter().find_map(|line| {
            let bare = line.trim_start();
            (bare.trim_end() == "scripts:").then(|| &line[..line.len() - bare.len()])
        });
        let mut keeps = true;
        for line in item.drain(..) {
            if let Some(key) = indent.and_then(|indent| key_at(line, indent)) {
                keeps = key != "actions";
            }
            if keeps {
                kept.push_str(line);
            }
        }
    };
    for line in text.split_inclusive('\n') {
        if line.starts_with("- ") || !line.starts_with(' ') {
            flush(&mut item);
        }
        item.push(line);
    }
    flush(&mut item);
    kept
}

/// The key of a line that begins one at this indentation.
fn key_at<'l>(line: &'l str, indent: &str) -> Option<&'l str> {
    let bare = line.strip_prefix(indent)?;
    let is_key = bare.starts_with(|c: char| c.is_ascii_alphabetic());
    bare.split_once(':').filter(|_| is_key).map(|(key, _)| key)
}

/// `text` with `key: value` in the section `name`, in place of such a line.
fn with_key(text: &str, name: &'static str, key: &str, value: &str) -> Result<String, EditError> {
    let (start, end, indent) = section(text, name).ok_or(EditError(name))?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let begin = format!("{indent}{key}:");
    let mut edited = lines[..start].concat();
    for line in lines[start..end]
        .iter()
        .filter(|line| !line.starts_with(&begin))
    {
        edited.push_str(line);
    }
    if !edited.ends_with('\n') {
        edited.push('\n');
    }
    edited.push_str(&format!("{indent}{key}: {value}\n"));
    edited.push_str(&lines[end..].concat());
    Ok(edited)
}

/// First and last line of the content of a top-level mapping, and its indentation.
fn section(text: &str, name: &str) -> Option<(usize, usize, String)> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let head = format!("{name}:");
    let start = lines.iter().position(|line| line.trim_end() == head)? + 1;
    let inside = |line: &&&str| line.starts_with([' ', '-']);
    let count = lines[start..].iter().take_while(inside).count();
    let first = lines[start..start + count].first()?;
    let indent = &first[..first.len() - first.trim_start().len()];
    (!indent.is_empty()).then(|| (start, start + count, indent.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_definition_has_neither_newer_keys_nor_migrated_ones() {
        let now = "metadata:\n  name: a\n  aggregateChecksum: x\nbuild:\n  user: u\n  signed: false\n  provenanceFiles:\n  - checksums.txt\n  migrations:\n  - scripts-to-actions\n  version: v0.29.2\ncomponents:\n- name: a\n  scripts:\n    before:\n    - x\n  actions:\n    onDeploy:\n      before:\n      - cmd: x\n  required: true\n- name: b\n  actions:\n    onDeploy: {}\n";
        let then = "metadata:\n  name: a\nbuild:\n  user: u\n  version: v0.22.2\ncomponents:\n- name: a\n  scripts:\n    before:\n    - x\n  required: true\n- name: b\n  actions:\n    onDeploy: {}\n";
        assert_eq!(earlier(now, "v0.22.2", None, false).unwrap(), then);
        let later = earlier(now, "v0.25.1", Some("y"), true).unwrap();
        assert!(later.contains("aggregateChecksum: y\n"), "{later}");
        assert!(later.contains("  - scripts-to-actions\n") && later.contains("  actions:\n"));
        assert!(!later.contains("provenance"), "{later}");
    }

    #[test]
    fn lines_are_added_once_and_nothing_else_changes() {
        let plain = "kind: ZarfPackageConfig\nmetadata:\n  name: a\nbuild:\n  version: v0.22.2\ncomponents: []\n";
        let edited = migrated(plain, "ab", &["one", "two"]).unwrap();
        let expected = "kind: ZarfPackageConfig\nmetadata:\n  name: a\n  aggregateChecksum: ab\nbuild:\n  version: v0.22.2\n  migrations:\n  - one\n  - two\ncomponents: []\n";
        assert_eq!(edited, expected);
        let again = migrated(&edited, "cd", &["two", "three"]).unwrap();
        let expected = expected
            .replace(": ab", ": cd")
            .replace("two\n", "two\n  - three\n");
        assert_eq!(again, expected);
        let deeper = "metadata:\n    name: a\nbuild:\n    migrations:\n        - old\n    user: x";
        let edited = migrated(deeper, "ab", &["new"]).unwrap();
        assert!(
            edited.contains("        - old\n        - new\n    user: x"),
            "{edited}"
        );
        assert_eq!(
            migrated("metadata: {name: a}\n", "ab", &[]),
            Err(EditError("metadata"))
        );
    }
}
