//! Makes a plan from what the user named: package folders or a pipeline file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build_error::BuildError;
use super::build_options::{BuildOptions, SignOptions, Target};
use crate::ground::commit::{commit_facts, path_in};
use crate::kinds::sign::provenance::{BUILDER, BuildRequest};
use crate::kinds::sign::signer::{SignerFrom, SignerNamed};
use crate::kinds::sign::{Attest, SignWork};
use crate::pipeline::WorkspaceSettings;
use crate::plan::PlanOptions;
use crate::workspace;

/// The user's choices for every package of a plan.
pub(super) fn plan_options(options: &BuildOptions, output: &Path) -> PlanOptions {
    PlanOptions {
        registry_overrides: options.content.registry_overrides.clone(),
        skip_sbom: options.content.skip_sbom,
        sbom_viewer: options.content.sbom_viewer,
        sbom_formats: options.content.sbom_formats.clone(),
        split: options.output.split,
        output: output.to_owned(),
        build: options.content.facts.clone(),
        sign: options.output.sign.as_ref().map(sign_work),
        publish: options.output.publish.clone(),
        move_tag: options.output.move_tag,
        architecture: options.variant.architecture.clone(),
        environment: options.place.environment.clone(),
        path: options.place.connection.helper_folders.clone(),
    }
}

fn sign_work(sign: &SignOptions) -> SignWork {
    SignWork {
        task: "sign".to_owned(),
        packages: Vec::new(),
        signer: SignerFrom::new(SignerNamed::Given(Arc::clone(&sign.signer)), None),
        seal: sign.seal,
        attest: Attest {
            provenance: sign.attest,
            sbom: sign.attest,
        },
        request: BuildRequest {
            builder: BUILDER.to_owned(),
            ..BuildRequest::default()
        },
        annotations: BTreeMap::new(),
    }
}

/// The folder for archives, without `.` in its path. One that the user did not name is the
/// workspace's; of a lone package, it is relative to the current folder.
pub(super) fn output_folder(
    options: &BuildOptions,
    root: &Path,
    settings: &WorkspaceSettings,
) -> PathBuf {
    let output = &options.output;
    let folder = match (&options.target, output.named) {
        (Target::Package(_), _) | (_, true) => options.place.here.join(&output.folder),
        (_, false) => root.join(match &settings.output {
            Some(own) => Path::new(own),
            None => &output.folder,
        }),
    };
    folder.components().collect()
}

/// What templates and conditions can use of the commit. Git runs only if a fact that it
/// alone knows, such as `git.tag`, `is_named`.
pub(super) fn git_facts(
    options: &BuildOptions,
    folder: &Path,
    is_named: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, String>, BuildError> {
    const ASKED: [&str; 3] = ["git.tag", "git.commitTime", "git.dirty"];
    let mut facts = workspace::git_facts(folder);
    let named = ASKED.into_iter().any(is_named);
    if let Some(sha) = facts.get("sha").filter(|_| named)
        && let Some(checkout) = workspace::checkout(folder)
    {
        let path = path_in(&options.place.environment);
        facts.extend(commit_facts(&checkout, sha, path)?);
    }
    Ok(facts)
}

/// The user's settings that can change a package, by name.
pub(super) fn parameters(options: &BuildOptions, pipeline: &str) -> BTreeMap<String, String> {
    let mut named: BTreeMap<String, String> = [("pipeline".to_owned(), pipeline.to_owned())].into();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            named.insert(name.to_owned(), value.to_owned());
        }
    };
    let variant = &options.variant;
    add(
        "architecture",
        variant.architecture.as_deref().unwrap_or_default(),
    );
    add("flavor", &variant.flavor);
    for (name, value) in &variant.set {
        add(&format!("set.{name}"), value);
    }
    for (from, to) in &options.content.registry_overrides {
        add(&format!("registryOverride.{from}"), to);
    }
    for (name, value) in options.target.params().into_iter().flatten() {
        add(&format!("param.{name}"), value);
    }
    named
}
