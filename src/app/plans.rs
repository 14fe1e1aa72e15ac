//! Makes a plan from what the user named: package folders or a pipeline file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build_error::{BuildError, locate_error, place};
use super::build_options::{BuildOptions, SignOptions, Target};
use super::compose::{Chosen, Composer};
use super::definitions;
use super::find::{read_text, shown};
use crate::disk;
use crate::ground::commit::commit_facts;
use crate::kinds::sign::provenance::{BUILDER, BuildRequest};
use crate::kinds::sign::signer::{SignerFrom, SignerNamed};
use crate::kinds::sign::{Attest, SignWork};
use crate::pipeline::Facts;
use crate::plan::{self, Declared, Plan, PlanError, PlanOptions, imply};
use crate::text::with_causes;
use crate::yaml::SourceText;
use crate::{pipeline, workspace};

/// The plan of every requested package.
pub(super) fn of_packages(
    options: &BuildOptions,
    composer: &mut Composer<'_>,
    workspace: &Path,
    definitions: Vec<PathBuf>,
) -> Result<Plan, BuildError> {
    let lone = definitions.len() == 1;
    let mut plan = Plan::default();
    let chosen = plan_options(options, IMPLIED);
    for path in definitions {
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let (mut composed, _) = composer.compose(&path, &Chosen::of(&options.variant))?;
        if let Some(base) = &options.content.differential {
            composed.definition.reduce(base)?;
        }
        // A definition that is not found by default is named by its file.
        let usual = plan::definition_in(&folder).is_some_and(|(_, usual)| usual == path);
        let named = if usual { &folder } else { &path };
        let relative = named.strip_prefix(workspace).unwrap_or(named);
        let prefix = if lone || relative.as_os_str().is_empty() {
            String::new()
        } else {
            format!("{}:", relative.display())
        };
        let instances = imply(&prefix, &composed.definition, &chosen);
        let composed = Arc::new(composed);
        let ids = instances.iter().map(|instance| instance.id.clone());
        let definitions = ids.map(|id| (id, Arc::clone(&composed))).collect();
        let how = Declared {
            folder,
            name: IMPLIED,
            prefix: &prefix,
            source: None,
            definitions: &definitions,
            options: &chosen,
        };
        plan.declare(&instances, &how)
            .map_err(planned(options, &path))?;
    }
    Ok(plan)
}

/// The name of an implied pipeline, for provenance.
const IMPLIED: &str = "implied";

fn plan_options(options: &BuildOptions, pipeline: &str) -> PlanOptions {
    PlanOptions {
        registry_overrides: options.content.registry_overrides.clone(),
        skip_sbom: options.content.skip_sbom,
        split: options.output.split,
        output: output_folder(options),
        build: options.content.facts.clone(),
        sign: options.output.sign.as_ref().map(sign_work),
        publish: options.output.publish.clone(),
        parameters: parameters(options, pipeline),
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

/// The folder for archives, without `.` in its path.
pub(super) fn output_folder(options: &BuildOptions) -> PathBuf {
    let folder = options.place.here.join(&options.output.folder);
    folder.components().collect()
}

fn planned<'a>(
    options: &'a BuildOptions,
    path: &'a Path,
) -> impl FnOnce(PlanError) -> BuildError + 'a {
    move |source| BuildError::Plan {
        at: shown(&options.place.here, path).display().to_string(),
        source: Box::new(source),
    }
}

/// The plan of a pipeline file, with its text.
pub(super) fn of_pipeline(
    options: &BuildOptions,
    composer: &mut Composer<'_>,
    path: &Path,
    params: &BTreeMap<String, String>,
) -> Result<(Plan, SourceText), BuildError> {
    let text = SourceText::new(
        shown(&options.place.here, path).to_string_lossy(),
        read_text(path)?,
    );
    let pipeline = pipeline::parse(&text)?;
    let params = pipeline
        .bind_params(params)
        .map_err(|error| BuildError::Params(with_causes(&error)))?;
    let full = fs::canonicalize(path).map_err(disk::at(path))?;
    let folder = full.parent().unwrap_or(Path::new("/")).to_owned();
    let architecture = options.variant.architecture_or_host();
    let facts = Facts {
        env: options.place.environment.clone(),
        git: git_facts(options, &folder, &text.text)?,
        platform: format!("linux/{architecture}"),
    };
    let instances =
        pipeline::expand(&pipeline, &params, &facts).map_err(|source| BuildError::Expand {
            at: place(&text, source.about()),
            source: Box::new(source),
        })?;
    let definitions = definitions::of_instances(composer, &folder, &instances)
        .map_err(|error| error.of(&text))?;
    let mut plan = Plan {
        pools: pipeline.pools.clone(),
        cache_limits: pipeline.cache_limits,
        trusts_incremental: pipeline.trust_incremental,
        allows_unpinned: pipeline.allow_unpinned,
        ..Plan::default()
    };
    let how = Declared {
        folder,
        name: &pipeline.name,
        prefix: "",
        source: Some(text.clone()),
        definitions: &definitions,
        options: &plan_options(options, &pipeline.name),
    };
    let declared = plan.declare(&instances, &how);
    declared.map_err(|error| locate_error(&text, error))?;
    Ok((plan, text))
}

/// What the templates and conditions in `text` can use of the commit. Git runs only
/// for facts that they name.
fn git_facts(
    options: &BuildOptions,
    folder: &Path,
    text: &str,
) -> Result<BTreeMap<String, String>, BuildError> {
    const ASKED: [&str; 3] = ["git.tag", "git.commitTime", "git.dirty"];
    let mut facts = workspace::git_facts(folder);
    let named = ASKED.iter().any(|name| text.contains(name));
    if let Some(sha) = facts.get("sha").filter(|_| named)
        && let Some(checkout) = workspace::checkout(folder)
    {
        let path = options.place.environment.get("PATH");
        let path = path.map_or("/usr/bin:/bin", String::as_str);
        facts.extend(commit_facts(&checkout, sha, path)?);
    }
    Ok(facts)
}

/// The user's settings that can change a package, by name.
fn parameters(options: &BuildOptions, pipeline: &str) -> BTreeMap<String, String> {
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
    if let Target::Pipeline { params, .. } = &options.target {
        for (name, value) in params {
            add(&format!("param.{name}"), value);
        }
    }
    named
}
