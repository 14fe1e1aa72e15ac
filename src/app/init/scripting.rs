//! Python packages and Helm charts.

use super::draft::{Chart, Delivered, Draft, Run, Task};
use super::files::Folder;

pub(super) fn python(folder: &Folder) -> Option<Draft> {
    if !folder.has("pyproject.toml") && !folder.has("setup.py") {
        return None;
    }
    let inputs = vec![
        "**".to_owned(),
        "!dist/**".to_owned(),
        "!build/**".to_owned(),
    ];
    let build = Task {
        name: "build".to_owned(),
        remarks: vec![
            "A wheel. What it is built with comes from the network: pin that in pyproject.toml."
                .to_owned(),
        ],
        run: Run::program("python3 -m pip wheel --no-deps -w dist ."),
        inputs: inputs.clone(),
        outputs: vec!["dist/".to_owned()],
        tools: vec!["python3".to_owned()],
        network: Some("what the package is built with".to_owned()),
        ..Task::default()
    };
    let mut tasks = vec![build];
    let project = folder.text("pyproject.toml").unwrap_or_default();
    if folder.has("tests") && !project.contains("pytest") {
        tasks.push(Task {
            name: "test".to_owned(),
            remarks: vec!["Without outputs, a task is remembered as passed.".to_owned()],
            run: Run::program(match folder.has("tests/__init__.py") {
                true => "python3 -m unittest discover -s tests -t .",
                false => "python3 -m unittest discover -s tests",
            }),
            inputs,
            tools: vec!["python3".to_owned()],
            ..Task::default()
        });
    }
    Some(Draft {
        at: folder.at.clone(),
        tasks,
        delivered: vec![Delivered {
            source: "dist".to_owned(),
            target: format!("/srv/{}", folder.name()),
            executable: false,
        }],
        ..Draft::default()
    })
}

pub(super) fn chart(folder: &Folder) -> Option<Draft> {
    let chart = folder.yaml("Chart.yaml")?;
    let value = |key: &str| {
        chart
            .get(key)
            .and_then(|node| node.scalar())
            .map(str::to_owned)
    };
    Some(Draft {
        at: folder.at.clone(),
        charts: vec![Chart {
            name: value("name")?,
            version: value("version")?,
            path: ".".to_owned(),
        }],
        ..Draft::default()
    })
}
