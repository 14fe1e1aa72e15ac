//! Which keys name tasks, files and components: what can be completed and followed there.

use super::context::Context;
use super::schemas::FileKind;

/// What a value names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Tasks, by their names.
    Tasks,
    /// Tasks as `task:NAME`, and files.
    TasksAndFiles,
    Files,
    /// Files with a definition.
    Definitions,
    /// Folders or files with a definition to import from.
    Imports,
    /// Components of the definition that this other key names.
    ComponentsOf(&'static str),
}

/// What the value at a place names.
pub(super) fn names(kind: FileKind, at: &Context) -> Option<Names> {
    let keys = at.keys();
    match kind {
        FileKind::Pipeline => in_pipeline(&keys),
        FileKind::Package => in_definition(&keys),
        FileKind::Workspace => match keys.as_slice() {
            ["include" | "exclude" | "output"] => Some(Names::Files),
            _ => None,
        },
    }
}

fn in_pipeline(keys: &[&str]) -> Option<Names> {
    match keys {
        ["include"] => Some(Names::Files),
        ["globalInputs"] => Some(Names::TasksAndFiles),
        ["schedules", _, "tasks"] => Some(Names::Tasks),
        ["tasks", _, "dependsOn" | "needs" | "deps"] => Some(Names::Tasks),
        ["tasks", _, "inputs"] => Some(Names::TasksAndFiles),
        ["tasks", _, "workdir"] => Some(Names::Files),
        ["tasks", _, "component" | "package", "definition"] => Some(Names::Definitions),
        ["tasks", _, "component", "name"] => Some(Names::ComponentsOf("definition")),
        ["tasks", _, "package", "components" | "images" | "sboms"]
        | ["tasks", _, "sbom", "of"]
        | ["tasks", _, "sign", "subjects"]
        | ["tasks", _, "publish", "packages" | "signatures"] => Some(Names::Tasks),
        ["tasks", _, "images", "from"]
        | ["tasks", _, "image", "base"]
        | ["tasks", _, "image", "layers", "from"] => Some(Names::TasksAndFiles),
        _ => None,
    }
}

fn in_definition(keys: &[&str]) -> Option<Names> {
    match keys {
        ["components", "import", "path"] => Some(Names::Imports),
        ["components", "import", "name"] => Some(Names::ComponentsOf("path")),
        ["components", "files", "source"]
        | ["components", "charts", "localPath" | "valuesFiles"]
        | ["components", "manifests", "files" | "kustomizations"]
        | ["components", "dataInjections", "source"]
        | ["components", "imageArchives", "path"]
        | ["components", "cosignKeyPath"] => Some(Names::Files),
        ["values", "files"] => Some(Names::Files),
        _ => None,
    }
}
