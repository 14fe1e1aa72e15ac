//! Actions and workflows that the workflows and actions of a GitHub repository use.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::data::{self, Reason};
use super::lock::{self, Lock, items, pairs, text};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;
use crate::sbom::purl::{purl, with_subpath};

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: ACTION,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |folder, name| is_workflow(folder, name) || is_action(folder, name),
        supports: |_, _| false,
        longest: 1 << 20,
        find: |view, path, found: &mut Found| lock::read(view, path, ACTION, found, used),
    },
};

const ACTION: Ecosystem = Ecosystem {
    kind: "github-action",
    language: "",
    found_by: "github-actions-usage-cataloger",
    metadata_type: "github-actions-use-statement",
};

const WORKFLOW: Ecosystem = Ecosystem {
    kind: "github-action-workflow",
    found_by: "github-action-workflow-usage-cataloger",
    ..ACTION
};

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yml") || name.ends_with(".yaml")
}

fn is_workflow(folder: &str, name: &str) -> bool {
    is_yaml(name) && is_within(folder, ".github/workflows")
}

fn is_action(folder: &str, name: &str) -> bool {
    let outer = folder.rsplit_once('/').map_or("", |(outer, _)| outer);
    matches!(name, "action.yml" | "action.yaml") && is_within(outer, ".github/actions")
}

/// Whether `folder` is `wanted`, in any folder.
fn is_within(folder: &str, wanted: &str) -> bool {
    let rest = folder.strip_suffix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

fn used(file: &Lock<'_>, source: &str, found: &mut Found) -> Result<(), Reason> {
    let yaml = data::yaml(source)?;
    let mut comments = comments(source);
    let mut one = |ecosystem, value: &str| {
        let comments = comments.get_mut(value);
        let comment = comments.and_then(VecDeque::pop_front).unwrap_or_default();
        use_of(file, ecosystem, value, comment, found);
    };
    for (_, job) in pairs(&yaml, "jobs") {
        if !text(job, "uses").is_empty() {
            one(WORKFLOW, text(job, "uses"));
        }
        steps(job, |value| one(ACTION, value));
    }
    steps(&yaml["runs"], |value| one(ACTION, value));
    Ok(())
}

fn steps<'j>(job: &'j Value, mut one: impl FnMut(&'j str)) {
    let uses = items(job, "steps").iter().map(|step| text(step, "uses"));
    uses.filter(|value| !value.is_empty()).for_each(&mut one);
}

/// The comments behind the values of `uses`, one for each time that a value is used.
/// They say which version a commit is.
fn comments(source: &str) -> HashMap<&str, VecDeque<&str>> {
    let mut comments: HashMap<&str, VecDeque<&str>> = HashMap::new();
    for line in source.lines() {
        let line = line.trim_start().trim_start_matches("- ").trim_start();
        let Some(rest) = line.strip_prefix("uses:") else {
            continue;
        };
        let (value, comment) = rest.split_once(" #").unwrap_or((rest, ""));
        let value = value.trim().trim_matches(['"', '\'']);
        comments.entry(value).or_default().push_back(comment);
    }
    comments
}

fn use_of(file: &Lock<'_>, ecosystem: Ecosystem, value: &str, comment: &str, found: &mut Found) {
    let (name, reference) = value.split_once('@').unwrap_or((value, ""));
    let comment = version_in(comment);
    let version = match is_commit(reference) {
        true => comment.unwrap_or(reference),
        false => reference,
    };
    let mut package = file.package(ecosystem, name, version);
    let mut parts = name.splitn(3, '/');
    if let (Some(owner), Some(repository)) = (parts.next(), parts.next())
        && !name.starts_with('.')
        && !name.starts_with("docker:")
    {
        let bare = purl("github", owner, repository, version, &[]);
        package.purl = with_subpath(bare, parts.next().unwrap_or_default());
    }
    let mut facts = json!({"value": value});
    if let Some(comment) = comment {
        facts["comment"] = json!(comment);
    }
    package.describe(&facts);
    found.push(package);
}

/// Whether `reference` is the hash of a commit, or the beginning of one.
fn is_commit(reference: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    reference.len() >= 7 && reference.bytes().all(is_hex)
}

/// The version in a comment such as `v4.1.0` or `tag=v4`.
fn version_in(comment: &str) -> Option<&str> {
    let mut words = comment.split(|c: char| !(c.is_ascii_alphanumeric() || ".-_+".contains(c)));
    words.find_map(|word| {
        let digits = word.strip_prefix(['v', 'V']).unwrap_or(word);
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        // `v4.x` is version 4.
        let end = digits.find(".x").unwrap_or(digits.len());
        let end = word.len() - digits.len() + end;
        Some(word[..end].trim_end_matches(['.', '-']))
    })
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::*;

    #[test]
    fn comments_name_versions_of_commits() {
        for (comment, version) in [
            ("ratchet:a/b@v4", Some("v4")),
            ("2.1.0 (2024-01-02)", Some("2.1.0")),
            ("v4.x", Some("v4")),
            ("pin@v1.2.3-beta.1", Some("v1.2.3-beta.1")),
            ("release/v1", Some("v1")),
            ("see above", None),
        ] {
            assert_eq!(version_in(comment), version);
        }
        assert!(is_commit("704facf") && !is_commit("v4") && !is_commit("ABCDEF1234567"));
    }

    #[test]
    fn steps_and_jobs_use_actions_and_workflows() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let workflow = format!(
            "on: push\njobs:\n  a:\n    steps:\n      - uses: actions/checkout@v4\n      \
             - name: x\n        uses: 'o/r/sub/dir@{hash}' # tag=v2.1.0\n      - uses: ./own\n      \
             - uses: docker://alpine:3.8\n      - run: x\n  b:\n    uses: o/w/.github/workflows/x.yml@main\n"
        );
        let action = "runs:\n  using: composite\n  steps:\n  - uses: a/b@1.2\n";
        let files: &[(&str, &[u8])] = &[
            ("p/.github/workflows/ci.yml", workflow.as_bytes()),
            (".github/actions/x/action.yaml", action.as_bytes()),
            ("x.github/workflows/no.yml", workflow.as_bytes()),
            (".github/workflows/deep/no.yml", workflow.as_bytes()),
            (".github/workflows/broken.yml", b"a: ["),
        ];
        let all = findings(&CATALOGUER, files);
        let mut purls: Vec<_> = all.packages.iter().collect();
        purls.sort_by_key(|package| &package.name);
        let purls: Vec<_> = purls
            .iter()
            .map(|package| {
                (
                    package.ecosystem.kind,
                    package.name.as_str(),
                    package.version.as_str(),
                    package.purl.as_str(),
                )
            })
            .collect();
        let action = "github-action";
        assert_eq!(
            purls,
            [
                (action, "./own", "UNKNOWN", ""),
                (action, "a/b", "1.2", "pkg:github/a/b@1.2"),
                (
                    action,
                    "actions/checkout",
                    "v4",
                    "pkg:github/actions/checkout@v4"
                ),
                (action, "docker://alpine:3.8", "UNKNOWN", ""),
                (
                    action,
                    "o/r/sub/dir",
                    "v2.1.0",
                    "pkg:github/o/r@v2.1.0#sub/dir"
                ),
                (
                    "github-action-workflow",
                    "o/w/.github/workflows/x.yml",
                    "main",
                    "pkg:github/o/w@main#.github/workflows/x.yml"
                ),
            ]
        );
        assert_eq!(all.unknowns.len(), 1);
    }
}
