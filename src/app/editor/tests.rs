use std::fs;
use std::rc::Rc;

use super::*;
use crate::app::{CacheFolder, Connection};

const PIPELINE: &str = "kind: JackalPipeline\nversion: 1\nname: x\ntasks:\n";

struct Workspace {
    root: tempfile::TempDir,
    editor: Editor,
}

impl Workspace {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::TempDir::new().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let place = Place {
            here: root.path().to_owned(),
            cache: CacheFolder::from(root.path().join("cache")),
            connection: Connection::default(),
            program: None,
            environment: BTreeMap::new(),
            content_limit: None,
        };
        Self {
            editor: Editor::new(place),
            root,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Opens a file whose text has a position marked with `@`.
    fn at(&mut self, name: &str, text: &str) -> (PathBuf, usize, usize) {
        let place = text.find('@').unwrap();
        let line = text[..place].matches('\n').count();
        let begin = text[..place].rfind('\n').map_or(0, |at| at + 1);
        let column = text[begin..place].chars().count();
        let path = self.path(name);
        self.editor.open(path.clone(), text.replacen('@', "", 1));
        (path, line, column)
    }

    fn offers(&mut self, name: &str, text: &str) -> Vec<String> {
        let (path, line, column) = self.at(name, text);
        let offers = self.editor.complete(&path, line, column).into_iter();
        offers.map(|offer| offer.text).collect()
    }

    fn target(&mut self, name: &str, text: &str) -> Option<String> {
        let (path, line, column) = self.at(name, text);
        let (path, span) = self.editor.definition(&path, line, column)?;
        let path = path
            .strip_prefix(self.root.path())
            .unwrap()
            .display()
            .to_string();
        Some(format!("{path}:{}", span.line))
    }
}

fn workspace() -> Workspace {
    Workspace::new(&[
        ("jackal-workspace.yaml", ""),
        (
            "lib/jackal.pipeline.yaml",
            "kind: JackalPipeline\nversion: 1\ntasks:\n  compile:\n    description: Makes it.\n    run: [x]\n    inputs: []\n    outputs: [out/]\n",
        ),
        (
            "common/jackal.yaml",
            "kind: JackalPackageConfig\nmetadata: {name: c}\ncomponents:\n- name: db\n- name: web\n",
        ),
        ("app/src/main.c", ""),
    ])
}

#[test]
fn keys_tasks_files_and_components_are_offered_in_a_half_typed_file() {
    let mut all = workspace();
    let name = "app/jackal.pipeline.yaml";
    let keys = all.offers(name, &format!("{PIPELINE}  a:\n    run: [x\n    ti@\n"));
    assert!(keys.contains(&"timeout".to_owned()), "{keys:?}");
    assert!(!keys.contains(&"run".to_owned()), "{keys:?}");
    let of_verb = all.offers(name, &format!("{PIPELINE}  a:\n    sign: {{ @\n"));
    assert!(of_verb.contains(&"subjects".to_owned()), "{of_verb:?}");
    assert!(!of_verb.contains(&"timeout".to_owned()), "{of_verb:?}");
    let tasks = all.offers(
        name,
        &format!("{PIPELINE}  a:\n    needs: [@\n  b:\n    run: [x\n"),
    );
    assert_eq!(tasks, ["b", "lib:compile"]);
    let inputs = all.offers(
        name,
        &format!("{PIPELINE}  a:\n    inputs:\n    - 'task:@\n"),
    );
    assert_eq!(inputs[0], "task:lib:compile");
    assert!(inputs.contains(&"src/".to_owned()), "{inputs:?}");
    let inner = all.offers(name, &format!("{PIPELINE}  a:\n    inputs: [src/m@\n"));
    assert!(inner.contains(&"src/main.c".to_owned()), "{inner:?}");
    let names = all.offers(
        name,
        &format!("{PIPELINE}  a:\n    component: {{ definition: ../common/jackal.yaml, name: @"),
    );
    assert_eq!(names, ["db", "web"]);
    let values = all.offers(name, &format!("{PIPELINE}  a:\n    continueOnError: @\n"));
    assert_eq!(values, ["true", "false"]);
    let imports = all.offers(
        "app/jackal.yaml",
        "components:\n- name: a\n  import:\n    path: ../common\n    name: @",
    );
    assert_eq!(imports, ["db", "web"]);
    // Nothing outside of the workspace is listed.
    let outside = all.offers(
        "app/jackal.yaml",
        "components:\n- files:\n  - source: ../../@",
    );
    assert_eq!(outside, [""; 0]);
}

#[test]
fn tasks_components_and_files_lead_to_their_places() {
    let mut all = workspace();
    let name = "app/jackal.pipeline.yaml";
    for (task, expected) in [
        (
            "  a: { run: [x], inputs: ['task:lib:com@pile'] }\n",
            "lib/jackal.pipeline.yaml:4",
        ),
        (
            "  b: { run: [\n  a:\n    needs: [b@]\n",
            "app/jackal.pipeline.yaml:5",
        ),
        (
            "  a: { run: [x], inputs: [src/@main.c] }\n",
            "app/src/main.c:1",
        ),
        (
            "  a: { component: { definition: ../common/jackal.yaml, name: we@b } }\n",
            "common/jackal.yaml:5",
        ),
    ] {
        let found = all.target(name, &format!("{PIPELINE}{task}"));
        assert_eq!(found.as_deref(), Some(expected), "{task}");
    }
    let import = "components:\n- name: web\n  import: { path: ../com@mon }\n";
    assert_eq!(
        all.target("app/jackal.yaml", import).as_deref(),
        Some("common/jackal.yaml:5")
    );
    let none = "components:\n- name: web\n  import: { path: ../no@ne }\n";
    assert_eq!(all.target("app/jackal.yaml", none), None);
}

#[test]
fn keys_and_tasks_are_explained() {
    let mut all = workspace();
    let name = "app/jackal.pipeline.yaml";
    let mut hover = |text: &str| {
        let (path, line, column) = all.at(name, &format!("{PIPELINE}{text}"));
        all.editor.hover(&path, line, column).unwrap_or_default()
    };
    let key = hover("  a:\n    run: [x]\n    con@tinueOnError: true\n");
    assert!(key.starts_with("**continueOnError**: boolean"), "{key}");
    assert!(key.contains("succeed if this task fails"), "{key}");
    let task = hover("  a:\n    run: [x]\n    inputs: ['task:lib:com@pile']\n");
    assert!(task.contains("lib/jackal.pipeline.yaml:4"), "{task}");
    assert!(task.contains("Makes it."), "{task}");
    assert_eq!(hover("  a:\n    nothing@: [x]\n"), "");
}

#[test]
fn findings_are_those_of_the_open_texts_and_nothing_is_written() {
    let mut all = workspace();
    let path = all.path("app/jackal.pipeline.yaml");
    let text = format!("{PIPELINE}  a: {{ run: [x], inputs: ['task:lib:gone', 'task:b'] }}\n");
    all.editor.open(path.clone(), text);
    let definition = all.path("app/jackal.yaml");
    let text = "kind: JackalPackageConfig\nmetadata: {name: a}\ncomponents:\n- name: a\n  files:\n  \
                - {source: ../lib/out/x, target: /x}\n  - {source: gone, target: /g}\n- name: b\n  \
                import: {url: 'oci://example.com/none:1'}\n";
    all.editor.open(definition.clone(), text.to_owned());
    let codes = |all: &Workspace, path: &Path| -> Vec<String> {
        let found = all.editor.findings();
        let found = found[path].iter();
        found
            .map(|one| format!("{}:{} {}", one.line, one.column, one.code))
            .collect()
    };
    assert_eq!(
        codes(&all, &path),
        ["5:26 unknown-task", "5:44 unknown-task"]
    );
    // The pipeline with mistakes may make what is missing in its own folder only.
    assert_eq!(codes(&all, &definition), [""; 0]);
    all.editor.close(&path);
    assert_eq!(codes(&all, &definition), ["7:14 missing-file"]);
    all.editor.open(definition.clone(), "kind: [".to_owned());
    assert_eq!(codes(&all, &definition).len(), 1);
    let huge = "a: b\n".repeat(usize::try_from(MAX_DEFINITION_BYTES).unwrap() / 5 + 1);
    all.editor.open(definition.clone(), huge);
    assert_eq!(codes(&all, &definition), ["1:1 unreadable-file"]);
    assert!(all.editor.complete(&definition, 1, 0).is_empty());
    assert!(!all.path("cache").exists());
    // A file of another kind has no findings.
    let other = all.path("notes.yaml");
    all.editor.open(other.clone(), "a: [".to_owned());
    assert_eq!(codes(&all, &other), [""; 0]);
}

#[test]
fn a_workspace_is_read_again_only_after_a_change_elsewhere() {
    let mut all = workspace();
    let (own, other) = (
        all.path("app/jackal.pipeline.yaml"),
        all.path("lib/jackal.pipeline.yaml"),
    );
    let text = format!("{PIPELINE}  a: {{ run: [x], inputs: [] }}\n");
    all.editor.open(own.clone(), text.clone());
    let first = all.editor.survey_for(&own);
    assert!(Rc::ptr_eq(&first, &all.editor.survey_for(&own)));
    // Typing in the file itself.
    all.editor.open(own.clone(), format!("{text}  b"));
    assert!(Rc::ptr_eq(&first, &all.editor.survey_for(&own)));
    // For another file, that is a change.
    let second = all.editor.survey_for(&other);
    assert!(!Rc::ptr_eq(&first, &second));
    assert!(Rc::ptr_eq(&second, &all.editor.survey_for(&own)));
    // A file that was read changes on the disk, without a message.
    let tasks = |all: &mut Workspace| {
        all.offers(
            "app/jackal.pipeline.yaml",
            &format!("{PIPELINE}  a:\n    needs: [@"),
        )
    };
    assert_eq!(tasks(&mut all), ["lib:compile"]);
    let changed = fs::read_to_string(&other)
        .unwrap()
        .replace("compile:", "link:");
    fs::write(&other, changed).unwrap();
    assert_eq!(tasks(&mut all), ["lib:link"]);
    // A new file is found once the client says that files changed, or mistakes are checked.
    let new = format!("{PIPELINE}  new: {{ run: [x], inputs: [] }}\n");
    fs::write(all.path("common/jackal.pipeline.yaml"), &new).unwrap();
    assert_eq!(tasks(&mut all), ["lib:link"]);
    all.editor.forget();
    assert_eq!(tasks(&mut all), ["common:new", "lib:link"]);
    fs::write(all.path("jackal.pipeline.yaml"), &new).unwrap();
    let _ = all.editor.findings();
    assert_eq!(tasks(&mut all), ["common:new", "new", "lib:link"]);
    // An open text counts as soon as it changes, and no longer than it is open.
    all.editor
        .open(other.clone(), new.replace("new:", "typed:"));
    assert_eq!(tasks(&mut all), ["common:new", "new", "lib:typed"]);
    all.editor.close(&other);
    assert_eq!(tasks(&mut all), ["common:new", "new", "lib:link"]);
}

#[test]
fn a_task_of_the_own_file_is_found_where_it_is_now() {
    let mut all = workspace();
    let name = "app/jackal.pipeline.yaml";
    let reference = "  b: { run: [x], inputs: ['task:app:a@'] }\n";
    let found = all.target(name, &format!("{PIPELINE}  a: {{ run: [x] }}\n{reference}"));
    assert_eq!(found.as_deref(), Some("app/jackal.pipeline.yaml:5"));
    let moved = format!("{PIPELINE}  c: {{ run: [x] }}\n  a: {{ run: [x] }}\n{reference}");
    let found = all.target(name, &moved);
    assert_eq!(found.as_deref(), Some("app/jackal.pipeline.yaml:6"));
}

#[test]
fn a_malformed_pattern_of_the_workspace_is_a_finding() {
    let mut all = workspace();
    let file = all.path("jackal-workspace.yaml");
    let text = "kind: JackalWorkspace\nversion: 1\nexclude: ['{a']\n";
    fs::write(&file, text).unwrap();
    all.editor.open(file.clone(), text.to_owned());
    let found = &all.editor.findings()[&file];
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.contains("{a"), "{found:?}");
}
