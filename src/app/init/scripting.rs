//! Python packages and Helm charts.

use super::draft::{Chart, Delivered, Draft, Run, Task, WITHOUT_OUTPUTS, owned};
use super::files::Folder;

pub(super) fn python(folder: &Folder) -> Option<Draft> {
    let inputs = owned(&["**", "!dist/**", "!build/**"]);
    let build = Task {
        name: "build".to_owned(),
        remarks: owned(&[
            "A wheel. Its build dependencies come from the network: pin them in pyproject.toml.",
        ]),
        run: Run::program("python3 -m pip wheel --no-deps -w dist ."),
        inputs: inputs.clone(),
        outputs: owned(&["dist/"]),
        tools: owned(&["python3"]),
        network: Some("build dependencies".to_owned()),
        ..Task::default()
    };
    let mut tasks = vec![build];
    let project = folder.text("pyproject.toml").unwrap_or_default();
    if folder.has("tests") && !project.contains("pytest") {
        tasks.push(Task {
            name: "test".to_owned(),
            remarks: owned(&[WITHOUT_OUTPUTS]),
            run: Run::program(match folder.has("tests/__init__.py") {
                true => "python3 -m unittest discover -s tests -t .",
                false => "python3 -m unittest discover -s tests",
            }),
            inputs,
            tools: owned(&["python3"]),
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
