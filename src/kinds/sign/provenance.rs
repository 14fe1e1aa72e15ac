//! SLSA provenance of a package: what ran, and what it was made of.
//!
//! Everything comes from the actions that were carried out or remembered, whose
//! keys hold the same inputs; nothing of the machine or the clock, so that the
//! same build says the same. When it was said, the signature tells. Source:
//! SLSA v1.0, "Provenance"; docs/spec/signing.md, "Statements and envelopes".

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kinds::Results;
use crate::kinds::material::Material;
use crate::signing::ResourceDescriptor;

/// What the fields of our provenance mean.
const BUILD_TYPE: &str = "https://jackal.dev/buildtypes/pipeline/v1";

/// The builder, if none is configured.
pub const BUILDER: &str = "https://jackal.dev/builders/local/v1";

/// What provenance states about the run.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Who builds: an address that consumers know.
    pub builder: String,
    /// What the user chose, by name.
    pub parameters: BTreeMap<String, String>,
}

/// The predicate of a package that `steps`, with their verbs, led to.
pub(crate) fn predicate(
    asked: &Asked,
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
                // The digest of the list that names all that the package holds.
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
