//! The texts of a pipeline and a definition.

use std::fmt::Write as _;

use super::container::Image;
use super::draft::{Draft, Run, Task};
use super::files::plain;
use crate::yaml::scalar;

/// The folder for packages where a task makes the usual one.
const PACKAGES: &str = "packages";

/// The command that builds the pipeline in the file `name`.
pub(super) fn command(drafts: &[Draft], name: &str) -> String {
    let mut outputs = drafts.iter().flat_map(|draft| {
        draft
            .tasks
            .iter()
            .flat_map(|task| &task.outputs)
            .map(|path| draft.path(path))
    });
    let elsewhere = match outputs.any(|path| path.trim_end_matches('/') == "dist") {
        true => format!(" -o {PACKAGES}"),
        false => String::new(),
    };
    format!("jackal build --pipeline {name}{elsewhere}")
}

/// The pipeline; with a package, unless another file says what that is.
pub(super) fn pipeline(
    name: &str,
    command: &str,
    drafts: &[Draft],
    image: Option<&Image>,
    packaged: bool,
) -> String {
    let mut text = format!(
        "# Built by `{command}`. Each task runs in a sandbox with only its\n\
         # inputs and tools, and runs again only when one of them has changed.\n\
         kind: JackalPipeline\nversion: 1\nname: {}\ntasks:\n",
        scalar(name)
    );
    for draft in drafts {
        for task in &draft.tasks {
            text.push_str(&task.yaml(draft));
        }
    }
    if let Some(image) = image {
        text.push_str(&image.yaml());
    }
    if packaged {
        text.push_str(&package(drafts, image));
    }
    text
}

/// The tasks of the package.
fn package(drafts: &[Draft], image: Option<&Image>) -> String {
    let components = components(drafts, image);
    if components.is_empty() {
        return String::new();
    }
    let names = components.join(", ");
    let mut text = format!(
        "  # The package that jackal.yaml describes, with SBOMs.\n  components:\n    \
         matrix: {{ name: [{names}] }}\n    \
         component: {{ definition: jackal.yaml, name: '${{{{ matrix.name }}}}' }}\n"
    );
    let images = if image.is_some() {
        "images: images, "
    } else {
        ""
    };
    if image.is_some() {
        text.push_str("  images: { images: { from: jackal.yaml } }\n");
    }
    let of = if image.is_some() {
        "components, images"
    } else {
        "components"
    };
    let _ = write!(
        text,
        "  sboms: {{ sbom: {{ of: [{of}] }} }}\n  \
         package: {{ package: {{ definition: jackal.yaml, components: components, {images}sboms: sboms }} }}\n"
    );
    text
}

fn components(drafts: &[Draft], image: Option<&Image>) -> Vec<&'static str> {
    let mut names = Vec::new();
    if drafts.iter().any(|draft| !draft.delivered.is_empty()) {
        names.push("files");
    }
    if drafts.iter().any(|draft| !draft.charts.is_empty()) {
        names.push("charts");
    }
    if image.is_some() {
        names.push("image");
    }
    names
}

/// The definition of the package.
pub(super) fn definition(name: &str, drafts: &[Draft], image: Option<&Image>) -> String {
    let mut text = format!(
        "kind: JackalPackageConfig\nmetadata:\n  name: {}\n  version: 0.1.0\ncomponents:\n",
        scalar(name)
    );
    for component in components(drafts, image) {
        let _ = write!(text, "- name: {component}\n  required: true\n");
        match component {
            "files" => {
                text.push_str(
                    "  # Where a deployment puts each file; change the targets as you like.\n  files:\n",
                );
                for draft in drafts {
                    for file in &draft.delivered {
                        let executable = if file.executable {
                            ", executable: true"
                        } else {
                            ""
                        };
                        let _ = writeln!(
                            text,
                            "  - {{ source: {}, target: {}{executable} }}",
                            scalar(&draft.path(&file.source)),
                            scalar(&file.target)
                        );
                    }
                }
            }
            "charts" => {
                text.push_str("  charts:\n");
                for draft in drafts {
                    for chart in &draft.charts {
                        let _ = writeln!(
                            text,
                            "  - {{ name: {}, version: {}, namespace: {}, localPath: {} }}",
                            scalar(&chart.name),
                            scalar(&chart.version),
                            scalar(&chart.name),
                            scalar(&draft.path(&chart.path))
                        );
                    }
                }
            }
            _ => {
                let image = image.map(|image| image.name.as_str()).unwrap_or_default();
                let _ = writeln!(text, "  images: [{}]", scalar(image));
            }
        }
    }
    text
}

impl Task {
    fn yaml(&self, draft: &Draft) -> String {
        let mut text = String::new();
        for remark in &self.remarks {
            let _ = writeln!(text, "  # {remark}");
        }
        let name = match draft.at.as_str() {
            "" => self.name.clone(),
            at => format!("{}-{}", plain(at), self.name),
        };
        let _ = writeln!(text, "  {name}:");
        match &self.run {
            Run::Program(words) => drop(writeln!(text, "    run: {}", list(words))),
            Run::Shell(line) => {
                let _ = write!(text, "    run: {}\n    shell: sh\n", scalar(line));
            }
        }
        if !draft.at.is_empty() {
            let _ = writeln!(text, "    workdir: {}", scalar(&draft.at));
        }
        let paths = |paths: &[String]| {
            let paths: Vec<String> = paths.iter().map(|path| draft.path(path)).collect();
            list(&paths)
        };
        let _ = writeln!(text, "    inputs: {}", paths(&self.inputs));
        if !self.outputs.is_empty() {
            let _ = writeln!(text, "    outputs: {}", paths(&self.outputs));
        }
        let _ = writeln!(text, "    tools: {}", list(&self.tools));
        if !self.caches.is_empty() {
            let _ = writeln!(text, "    caches: {}", list(&self.caches));
        }
        if let Some(what) = &self.network {
            let _ = writeln!(text, "    network: true    # {what}");
        }
        text
    }
}

/// A list on one line.
fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| scalar(item)).collect();
    format!("[{}]", items.join(", "))
}
