//! `jackal-workspace.yaml`: what the pipelines of a workspace share.
//!
//! The file may be empty: then it only marks the root of the workspace.

use std::collections::BTreeMap;

use super::file;
use crate::pipeline::limits::Defaults;
use crate::pipeline::model::{Identity, WorkspaceSettings};
use crate::pipeline::reader::Reader;
use crate::yaml::{Fields, Mistake, Mistakes, Node, SourceText, parse_only};

impl WorkspaceSettings {
    /// Reads the text of the file.
    ///
    /// # Errors
    ///
    /// Every mistake, with its place; if the file requires another version of jackal,
    /// only that.
    pub fn read(source: &SourceText) -> Result<Self, Mistakes> {
        let (settings, mistakes) = Self::check(source);
        Mistakes::none_or(settings, source, mistakes)
    }

    /// The settings as far as the file can be read, and every mistake.
    #[must_use]
    pub fn check(source: &SourceText) -> (Self, Vec<Mistake>) {
        let mut r = Reader::default();
        let empty = || Node::mapping(Default::default());
        let node = parse_only(source).map(|node| node.unwrap_or_else(empty));
        let readable = node.and_then(|node| file::requires(&node, source).map(|()| node));
        match readable {
            Ok(node) => (settings(&node, &mut r), r.mistakes),
            Err(mistakes) => (Self::default(), mistakes.list().to_vec()),
        }
    }

    /// Makes the paths of toolchains, which are relative to `root`, absolute.
    #[must_use]
    pub fn at(mut self, root: &str) -> Self {
        let absolute = |path: &mut String| {
            if !path.starts_with(['/', '~']) {
                *path = format!("{root}/{path}");
            }
        };
        for toolchain in self.toolchains.values_mut() {
            toolchain.mounts.iter_mut().for_each(absolute);
            toolchain.path.iter_mut().for_each(absolute);
            if let Identity::Files(files) = &mut toolchain.identity {
                files.iter_mut().for_each(absolute);
            }
        }
        self
    }
}

fn settings(node: &Node, r: &mut Reader) -> WorkspaceSettings {
    let mut f = Fields::new(node, "the workspace", &mut r.mistakes);
    if let Some(kind) = f.node("kind")
        && kind.scalar() != Some("JackalWorkspace")
    {
        let message = "this is not a workspace";
        r.at(kind.span, message, "Write `kind: JackalWorkspace`.");
    }
    if let Some(version) = f.node("version")
        && version.scalar() != Some("1")
    {
        let message = "the schema version is not 1";
        r.at(version.span, message, "Write `version: 1`.");
    }
    // It has been checked.
    f.node("requires");
    let defaults = match f.node("defaults") {
        Some(node) => file::defaults(node, r),
        None => Defaults::default(),
    };
    let exclude = f.strings("exclude", &mut r.mistakes);
    let include = f.strings("include", &mut r.mistakes);
    let output = f.string("output", &mut r.mistakes);
    let mut toolchains = BTreeMap::new();
    for (key, value) in r.pairs(&mut f, "toolchains") {
        toolchains.insert(key, file::toolchain(value, r));
    }
    f.finish(&mut r.mistakes);
    WorkspaceSettings {
        exclude,
        include,
        output,
        defaults,
        toolchains,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WorkspaceSettings, String> {
        let source = SourceText::new("jackal-workspace.yaml", text);
        WorkspaceSettings::read(&source).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_know_what_they_use_of_the_commit() {
        let names = |text: &str| read(text).unwrap().git_names().into_iter().collect();
        let none: Vec<String> = names("output: git.tag\nexclude: ['.github']\n");
        assert!(none.is_empty(), "{none:?}");
        let platform = "linux/${{ params.git }}-${{ format('{0}', git.tag) }}${{ git.sha }}";
        let used: Vec<String> = names(&format!("defaults: {{ platform: \"{platform}\" }}\n"));
        assert_eq!(used, ["git.sha", "git.tag"]);
    }

    #[test]
    fn a_workspace_file_may_be_empty_or_have_settings() {
        assert!(read("").unwrap().exclude.is_empty());
        let text = "requires: '>=0.1'\nexclude: [examples/**]\ninclude: ['ci/*.yaml']\noutput: out\n\
                    defaults: { timeout: 5m }\ntoolchains: { sdk: { mounts: [sdk, ~/x, /opt/y] } }\n";
        let settings = read(text).unwrap().at("/w");
        assert_eq!(settings.output.as_deref(), Some("out"));
        assert_eq!(settings.include, ["ci/*.yaml"]);
        assert_eq!(
            settings.toolchains["sdk"].mounts,
            ["/w/sdk", "~/x", "/opt/y"]
        );
    }

    #[test]
    fn another_version_is_named_before_keys_that_only_it_knows() {
        let found = read("requires: '>=99'\nnew: 1\n").unwrap_err();
        assert!(found.contains("jackal-workspace.yaml:1:11"), "{found}");
        assert!(found.contains(">=99"), "{found}");
        assert!(!found.contains("`new`"), "{found}");
        let found = read("requires: latest\n").unwrap_err();
        assert!(found.contains("`latest` is not a range"), "{found}");
        assert!(
            read("exlude: []\n")
                .unwrap_err()
                .contains("Did you mean `exclude`")
        );
    }
}
