//! Maven and Gradle.

use super::draft::{Delivered, Draft, Run, Task, owned};
use super::files::Folder;

pub(super) fn maven(folder: &Folder) -> Option<Draft> {
    let text = folder.text("pom.xml")?;
    let own = own_part(&text);
    let value = |tag: &str| element(&own, tag).or_else(|| element(&text, tag));
    let packaging = element(&own, "packaging").unwrap_or_else(|| "jar".to_owned());
    let jar = value("artifactId").zip(value("version"));
    let jar = jar.filter(|(name, version)| {
        packaging != "pom" && !name.contains("${") && !version.contains("${")
    });
    let outputs = match &jar {
        Some((name, version)) => vec![format!("target/{name}-{version}.{packaging}")],
        None => Vec::new(),
    };
    let mut notes = Vec::new();
    if outputs.is_empty() {
        notes.push(
            "pom.xml does not say which file it makes: list it in the outputs of `build`"
                .to_owned(),
        );
    }
    if !text.contains("project.build.outputTimestamp") {
        notes.push("set project.build.outputTimestamp in pom.xml: without it, each build gives different bytes".to_owned());
    }
    let build = Task {
        name: "build".to_owned(),
        run: Run::program("mvn -B -q package"),
        inputs: folder.present(&["pom.xml", ".mvn/**", "src/**"]),
        outputs: outputs.clone(),
        tools: owned(&["mvn", "java"]),
        caches: owned(&["maven"]),
        network: Some("plugins and dependencies".to_owned()),
        ..Task::default()
    };
    Some(Draft {
        at: folder.at.clone(),
        delivered: outputs.iter().map(|path| archive(folder, path)).collect(),
        tasks: vec![build],
        notes,
        ..Draft::default()
    })
}

pub(super) fn gradle(folder: &Folder) -> Option<Draft> {
    let wrapper = folder.has("gradlew");
    let program = if wrapper { "./gradlew" } else { "gradle" };
    let tools = match wrapper {
        true => owned(&["java", "sh"]),
        false => owned(&["gradle", "java"]),
    };
    let build = Task {
        name: "build".to_owned(),
        remarks: owned(&[
            "The daemon would outlive the task. Set `preserveFileTimestamps = false` and",
            "`reproducibleFileOrder = true` for archives, or each build gives different bytes.",
        ]),
        run: Run::program(&format!("{program} --no-daemon build")),
        inputs: owned(&["**", "!build/**", "!.gradle/**"]),
        outputs: owned(&["build/libs/"]),
        tools,
        caches: owned(&["gradle"]),
        network: Some("plugins and dependencies".to_owned()),
    };
    Some(Draft {
        at: folder.at.clone(),
        delivered: vec![archive(folder, "build/libs")],
        tasks: vec![build],
        ..Draft::default()
    })
}

fn archive(folder: &Folder, path: &str) -> Delivered {
    let name = path.rsplit('/').next().unwrap_or(path);
    Delivered {
        source: path.to_owned(),
        target: format!("/srv/{}/{name}", folder.name()),
        executable: false,
    }
}

/// What the project says of itself: not of its parent, dependencies and plugins.
fn own_part(text: &str) -> String {
    let mut own = text.to_owned();
    for tag in [
        "parent",
        "dependencies",
        "dependencyManagement",
        "build",
        "profiles",
    ] {
        while let Some(start) = own.find(&format!("<{tag}>")) {
            let end = format!("</{tag}>");
            let Some(length) = own[start..].find(&end) else {
                break;
            };
            own.replace_range(start..start + length + end.len(), "");
        }
    }
    own
}

fn element(text: &str, tag: &str) -> Option<String> {
    let start = text.find(&format!("<{tag}>"))? + tag.len() + 2;
    let length = text[start..].find(&format!("</{tag}>"))?;
    Some(text[start..start + length].trim().to_owned())
}
