//! SLSA provenance of a package: the actions that ran, and its materials.
//!
//! Everything comes from the actions that ran or were cached, whose keys have the same
//! inputs. Nothing depends on the machine or the clock, so that equal builds give equal
//! provenance. The time is in the signature. Source: SLSA v1.0, "Provenance";
//! docs/spec/signing.md, "Statements and envelopes".

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kinds::Results;
use crate::kinds::material::Material;
use crate::signing::ResourceDescriptor;

/// The URI that defines the fields of our provenance.
const BUILD_TYPE: &str = "https://jackal.dev/buildtypes/pipeline/v1";

pub const BUILDER: &str = "https://jackal.dev/builders/local/v1";

/// What provenance states about the run.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// The URI of the builder, which consumers know.
    pub builder: String,
    /// The user's settings, by name.
    pub parameters: BTreeMap<String, String>,
}

/// The predicate for a package made by `steps`, given with their verbs.
pub(crate) fn predicate(
    request: &BuildRequest,
    steps: &[(String, &'static str)],
    results: &Results,
) -> Value {
    let mut materials: BTreeMap<(String, String), ResourceDescriptor> = BTreeMap::new();
    let mut ran = Vec::new();
    for (id, verb) in steps {
        let Some(done) = results.get(id) else {
            continue;
        };
        let Some(action) = &done.action else {
            continue;
        };
        let mut step = json!({
            "id": id,
            "verb": verb,
            "actionKey": action.key().to_string(),
        });
        for mark in done.marks.all() {
            // Not from its inputs alone: a consumer may want to refuse it.
            step[mark.name()] = json!(true);
        }
        ran.push(step);
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
        for (path, file) in action.inputs.sources() {
            add(path, String::new(), "sha256", file.digest.hex());
        }
        for material in &done.materials {
            match material {
                Material::Image { reference, digest } => add(
                    String::new(),
                    format!("oci://{reference}"),
                    "sha256",
                    digest.hex(),
                ),
                Material::File { url, digest } => {
                    add(String::new(), url.clone(), "sha256", digest.hex());
                }
                Material::Commit { address, commit } => add(
                    String::new(),
                    format!("git+{address}"),
                    "gitCommit",
                    commit.clone(),
                ),
                // The digest of the list of all files in the package.
                Material::Package { name, checksum } => add(
                    format!("package:{name}/checksums.txt"),
                    String::new(),
                    "sha256",
                    checksum.clone(),
                ),
            }
        }
    }
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": request.parameters,
            "internalParameters": {"steps": ran},
            "resolvedDependencies": materials.into_values().collect::<Vec<_>>(),
        },
        "runDetails": {
            "builder": {
                "id": request.builder,
                "version": {"jackal": env!("CARGO_PKG_VERSION")},
            },
        },
    })
}
