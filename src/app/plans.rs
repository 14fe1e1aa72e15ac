//! From what the user named to a plan: of folders with packages, or of a pipeline
//! file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::build::{BuildError, BuildOptions, Target};
use super::compose::{Chosen, Composer};
use super::definitions;
use super::find::read_text;
use crate::kinds::sign::SignWork;
use crate::kinds::sign::provenance::Asked;
use crate::pipeline::Facts;
use crate::plan::declared::Declared;
use crate::plan::implied::{self, Implied};
use crate::plan::{self, Plan, PlanError};
use crate::yaml::SourceText;
use crate::{pipeline, workspace};

/// The plan of every package that is asked for.
pub(super) fn of_packages(
    options: &BuildOptions,
    composer: &mut Composer<'_>,
    workspace: &Path,
    folders: Vec<PathBuf>,
) -> Result<Plan, BuildError> {
    let lone = folders.len() == 1;
    let mut plan = Plan::default();
    for folder in folders {
        let Some((_, path)) = plan::definition_in(&folder) else {
            return Err(BuildError::NoPackage(folder));
        };
        let chosen = Chosen {
            architecture: options.architecture.clone(),
            ..Chosen::default()
        };
        let (mut composed, _) = composer.compose(&path, &chosen)?;
        if let Some(base) = &options.differential {
            composed.definition.reduce(base)?;
        }
        let relative = folder.strip_prefix(workspace).unwrap_or(&folder);
        let how = Implied {
            prefix: if lone || relative.as_os_str().is_empty() {
                String::new()
            } else {
                format!("{}:", relative.display())
            },
            folder: folder.clone(),
            imported: composed.imported,
            flavor: options.flavor.clone(),
            output: output_folder(options),
            publish: options.publish.clone(),
            sign: options.sign.as_ref().map(|sign| SignWork {
                asked: Asked {
                    parameters: parameters(options, "implied"),
                    ..sign.asked.clone()
                },
                ..sign.clone()
            }),
            registry_overrides: options.registry_overrides.clone(),
            skip_sbom: options.skip_sbom,
            build: options.facts.clone(),
            split: options.split,
        };
        plan.imply(composed.definition, &how)
            .map_err(planned(options, &path))?;
    }
    Ok(plan)
}

/// Where archives go; of a `.` in the path nothing stays.
fn output_folder(options: &BuildOptions) -> PathBuf {
    options.here.join(&options.output).components().collect()
}

fn planned<'a>(
    options: &'a BuildOptions,
    path: &'a Path,
) -> impl FnOnce(PlanError) -> BuildError + 'a {
    move |source| BuildError::Plan {
        at: shown(&options.here, path).display().to_string(),
        source: Box::new(source),
    }
}

/// Why a pipeline has no plan, with the place of the key to blame.
pub(super) fn blamed(text: &SourceText, error: PlanError) -> BuildError {
    BuildError::Plan {
        at: place(text, error.about()),
        source: Box::new(error),
    }
}

fn place(text: &SourceText, about: Option<(&str, &str)>) -> String {
    match about {
        Some((instance, key)) => pipeline::place(text, instance, key),
        None => text.name.clone(),
    }
}

pub(super) fn shown<'a>(here: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(here).unwrap_or(path)
}

/// The plan of a pipeline file, with its text.
pub(super) fn of_pipeline(
    options: &BuildOptions,
    composer: &mut Composer<'_>,
    path: &Path,
    params: &BTreeMap<String, String>,
) -> Result<(Plan, SourceText), BuildError> {
    let text = SourceText::new(
        shown(&options.here, path).to_string_lossy(),
        read_text(path)?,
    );
    let pipeline = pipeline::check::parse(&text)?;
    let params = pipeline
        .bind_params(params)
        .map_err(|error| BuildError::Params(error.to_string()))?;
    let io = |source| BuildError::Io {
        path: path.to_owned(),
        source,
    };
    let full = fs::canonicalize(path).map_err(io)?;
    let folder = full.parent().unwrap_or(Path::new("/")).to_owned();
    let architecture = options
        .architecture
        .clone()
        .unwrap_or_else(|| implied::host_architecture().to_owned());
    let facts = Facts {
        env: options.wishes.environment.clone(),
        git: workspace::git_facts(&folder),
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
        ..Plan::default()
    };
    let how = Declared {
        folder,
        name: pipeline.name.clone(),
        parameters: parameters(options, &pipeline.name),
        definitions: &definitions,
        output: output_folder(options),
        build: options.facts.clone(),
        split: options.split,
        architecture: options.architecture.clone(),
        environment: &options.wishes.environment,
        path: options.connection.helper_folders.clone(),
    };
    let declared = plan.declare(&instances, &how);
    declared.map_err(|error| blamed(&text, error))?;
    Ok((plan, text))
}

/// What the user chose that can change a package, by name.
fn parameters(options: &BuildOptions, pipeline: &str) -> BTreeMap<String, String> {
    let mut named: BTreeMap<String, String> = [("pipeline".to_owned(), pipeline.to_owned())].into();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            named.insert(name.to_owned(), value.to_owned());
        }
    };
    add(
        "architecture",
        options.architecture.as_deref().unwrap_or_default(),
    );
    add("flavor", &options.flavor);
    for (name, value) in &options.set {
        add(&format!("set.{name}"), value);
    }
    for (from, to) in &options.registry_overrides {
        add(&format!("registryOverride.{from}"), to);
    }
    if let Target::Pipeline { params, .. } = &options.target {
        for (name, value) in params {
            add(&format!("param.{name}"), value);
        }
    }
    named
}
