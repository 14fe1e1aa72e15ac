//! SLSA provenance of a package: what ran, and what it was made of.
//!
//! Everything comes from the actions that were carried out or remembered, whose
//! keys hold the same inputs; nothing of the machine or the clock, so that the
//! same build says the same. When it was said, the signature tells. Source:
//! SLSA v1.0, "Provenance"; docs/spec/signing.md, "Statements and envelopes".

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::work::Results;
use crate::action::{Input, InputKind};
use crate::signing::ResourceDescriptor;

/// What the fields of our provenance mean.
const BUILD_TYPE: &str = "https://jackal.dev/buildtypes/pipeline/v1";

/// Who built it, when nobody says.
pub const BUILDER: &str = "https://jackal.dev/builders/local/v1";

/// What was asked for, and by whom it was carried out.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Who builds: an address that consumers know.
    pub builder: String,
    /// What the user chose, by name.
    pub parameters: BTreeMap<String, String>,
}

/// The predicate of a package that `steps`, with their verbs, led to.
pub(super) fn predicate(
    asked: &Asked,
    steps: &[(String, &'static str)],
    results: &Results,
) -> Value {
    let mut materials: BTreeMap<(String, String), ResourceDescriptor> = BTreeMap::new();
    let mut ran = Vec::new();
    for (id, verb) in steps {
        let Some(action) = results.get(id).and_then(|done| done.action.as_ref()) else {
            continue;
        };
        ran.push(json!({
            "id": id,
            "verb": verb,
            "actionKey": action.key().to_string(),
        }));
        let mut add = |name: String, uri: String, algorithm: &str, digest: String| {
            let found = ResourceDescriptor {
                name,
                uri,
                digest: [(algorithm.to_owned(), digest.clone())].into(),
            };
            let place = format!("{}{}", found.uri, found.name);
            materials.insert((place, digest), found);
        };
        for (name, digest) in &action.tools {
            add(
                format!("tool:{name}"),
                String::new(),
                "sha256",
                digest.hex(),
            );
        }
        for input in &action.inputs {
            match input {
                Input {
                    path,
                    kind: InputKind::File { digest, .. },
                } => add(path.clone(), String::new(), "sha256", digest.hex()),
                // What another step made is no material, but what it was made of.
                Input { path, .. } if made_here(path, steps) => {}
                Input {
                    path,
                    kind: InputKind::Blob { digest },
                } if *verb == "image" => {
                    add(
                        String::new(),
                        format!("oci://{path}"),
                        "sha256",
                        digest.hex(),
                    );
                }
                Input {
                    path,
                    kind: InputKind::Blob { digest },
                } if path.contains("://") => {
                    add(String::new(), path.clone(), "sha256", digest.hex());
                }
                _ => {}
            }
        }
        let setting = |key: &str| {
            let mut settings = action.settings.iter();
            settings.find_map(|(name, value)| (name == key).then(|| value.clone()))
        };
        if let (Some(address), Some(pin)) = (setting("repository"), setting("pin")) {
            add(String::new(), format!("git+{address}"), "gitCommit", pin);
        }
        if let (Some(base), Some(checksum)) = (setting("base"), setting("baseChecksum")) {
            // The digest of the list that names all that the base holds.
            let name = format!("package:{base}/checksums.txt");
            add(name, String::new(), "sha256", checksum);
        }
    }
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": asked.parameters,
            "internalParameters": {"steps": ran},
            "resolvedDependencies": materials.into_values().collect::<Vec<_>>(),
        },
        "runDetails": {
            "builder": {
                "id": asked.builder,
                "version": {"jackal": env!("CARGO_PKG_VERSION")},
            },
        },
    })
}

/// Whether an input is called like a step, or like an output of one.
fn made_here(path: &str, steps: &[(String, &'static str)]) -> bool {
    steps.iter().any(|(id, verb)| {
        let rest = path.strip_prefix(id.as_str());
        *verb != "image" && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ' ']))
    })
}
