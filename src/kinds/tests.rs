use super::*;
use crate::cas::Cas;
use crate::ground::site::SiteOptions;
use crate::package::{Component, File};
use crate::pipeline::verb::Run;
use crate::registry::{Options, Registry};

/// A run in `dir`, with its cache there.
fn site(dir: &std::path::Path) -> Arc<Site> {
    let cas = Arc::new(Cas::open(dir.join("cache")).unwrap());
    let registry = Registry::new(Options::default());
    Site::new(cas, registry, dir, SiteOptions::default())
}

fn task<'a>(work: &'a Work, site: &'a Arc<Site>, results: &'a Results) -> Task<'a> {
    Task {
        work,
        cx: Context {
            site,
            cpu: 1,
            results,
        },
        cached: true,
        local: false,
        salts: &[],
        order: &[],
    }
}

#[tokio::test]
async fn a_source_that_changes_after_its_key_was_made_is_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let site = site(dir.path());
    std::fs::write(dir.path().join("f"), "old").unwrap();
    let component = Component {
        name: "c".into(),
        files: vec![File {
            source: "f".into(),
            target: "/f".into(),
            ..File::default()
        }],
        ..Component::default()
    };
    let work = Work::from(component::ComponentWork {
        folders: dir.path().to_owned().into(),
        component,
        parts: Vec::new(),
    });
    let results = Results::new();
    let task = task(&work, &site, &results);
    let prepared = task.prepare().await.unwrap();
    std::fs::write(dir.path().join("f"), "new!").unwrap();
    let refused = task.perform(&prepared).await.unwrap_err();
    assert!(
        refused.message.contains("/f` changed while it was read"),
        "{refused}"
    );
    let remembered = site.remembered(&prepared.action.key(), prepared.form);
    assert!(remembered.unwrap().is_none());
    let again = task.prepare().await.unwrap();
    assert!(task.perform(&again).await.is_ok());
}

/// A command that copies the file `f`.
fn copying(folder: &std::path::Path, more: &str) -> Work {
    Work::from(run::RunWork {
        folder: folder.to_owned(),
        verb: Run {
            argv: vec![format!("cp f o{more}")],
            shell: Some("sh".into()),
        },
        globs: vec!["f".into()],
        optional_globs: Default::default(),
        generated: Arc::default(),
        by_path: Vec::new(),
        place: Default::default(),
        input_tasks: Vec::new(),
        input_values: Default::default(),
        env: Default::default(),
        pass_through: Default::default(),
        pass_through_names: Vec::new(),
        secrets: Default::default(),
        tools: vec!["cp".into(), "ln".into()],
        packages: Vec::new(),
        toolchains: Default::default(),
        path: vec!["/usr/bin".into(), "/bin".into()],
        outputs: vec![crate::pipeline::RenderedOutput {
            path: "o".into(),
            directory: false,
            optional: false,
        }],
        reports: Vec::new(),
        workdir: ".".into(),
        timeout: std::time::Duration::from_secs(60),
        grace: std::time::Duration::from_secs(1),
        sandbox: crate::pipeline::Sandbox::None,
        network: false,
        git: false,
        writable: Vec::new(),
        services: Vec::new(),
        caches: Vec::new(),
        kept: None,
        unattended: false,
        platform: "linux/amd64".parse().unwrap(),
    })
}

#[tokio::test]
async fn a_command_reads_what_its_key_names_and_is_not_remembered_if_that_changes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    std::fs::write(dir.path().join(".gitignore"), "f\n").unwrap();
    let late = format!("; echo new > {}", file.display());
    // Before it is staged, and while the command runs.
    for (early, more) in [(true, ""), (false, late.as_str())] {
        let site = site(dir.path());
        std::fs::write(&file, "old").unwrap();
        let (work, results) = (copying(dir.path(), more), Results::new());
        let task = task(&work, &site, &results);
        let prepared = task.prepare().await.unwrap();
        if early {
            std::fs::write(&file, "new!").unwrap();
        }
        let refused = task.perform(&prepared).await.unwrap_err();
        assert_eq!(refused.changed.as_deref(), Some(&file), "{refused}");
        let remembered = site.remembered(&prepared.action.key(), prepared.form);
        assert!(remembered.unwrap().is_none());
    }
}

#[tokio::test]
async fn another_link_to_an_input_changes_nothing_that_a_command_reads() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "old").unwrap();
    let more = format!("; ln {0}/f {0}/g", dir.path().display());
    let (work, results) = (copying(dir.path(), &more), Results::new());
    let here = site(dir.path());
    let task = task(&work, &here, &results);
    let prepared = task.prepare().await.unwrap();
    task.perform(&prepared).await.unwrap();
    assert!(dir.path().join("g").exists());
}
