use super::*;
use crate::cas::Cas;
use crate::ground::site::Wishes;
use crate::package::{Component, File};
use crate::registry::{Options, Registry};

#[tokio::test]
async fn a_source_that_changes_after_its_key_was_made_is_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let cas = Arc::new(Cas::open(&dir.path().join("cache")).unwrap());
    let registry = Registry::new(Options::default()).unwrap();
    let site = Site::new(cas, registry, dir.path(), Wishes::default());
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
    let task = Task {
        work: &work,
        cx: Context {
            site: &site,
            cpu: 1,
            results: &results,
        },
        cached: true,
        salts: &[],
    };
    let prepared = task.prepare().await.unwrap();
    std::fs::write(dir.path().join("f"), "new!").unwrap();
    let refused = task.perform(&prepared).await.unwrap_err();
    assert!(
        refused.message.contains("/f` changed while it was read"),
        "{refused}"
    );
    assert!(site.remembered(&prepared.action).unwrap().is_none());
    let again = task.prepare().await.unwrap();
    assert!(task.perform(&again).await.is_ok());
}
