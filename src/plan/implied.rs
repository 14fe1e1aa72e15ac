//! The plan of a folder with only a definition: nobody writes YAML to start.
//!
//! Source: docs/spec/pipeline.md, "Implied pipeline".

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::ground::folders::Folders;
use crate::kinds::Work;
use crate::kinds::image::{ImportWork, PullWork};
use crate::kinds::images::ImagesWork;
use crate::kinds::package::{BuildFacts, PackageWork};
use crate::kinds::publish::PublishWork;
use crate::kinds::sbom::{ComponentSbomWork, ImageSbomWork};
use crate::kinds::sign::{SignWork, SignedPackage};
use crate::oci::{Platform, Reference};
use crate::package::{ArchiveName, ArchiveNameError, Component, Definition, Dialect, Kind};
use crate::plan::parts::{Order, has_actions};
use crate::plan::{Plan, PlanError, Step};
use crate::release::Destination;
use crate::sbom::names;

/// What an implied pipeline is made with.
#[derive(Clone, Debug)]
pub struct Implied {
    /// The package's folder.
    pub folder: PathBuf,
    /// Stands before every step's name, with a colon; empty for a lone package.
    pub prefix: String,
    /// Folders of imported definitions, by their path from the package's.
    pub imported: BTreeMap<String, PathBuf>,
    /// The flavor that was chosen.
    pub flavor: String,
    /// Where the archive goes.
    pub output: PathBuf,
    /// Where the package is published to, instead of an archive.
    pub publish: Option<Destination>,
    /// How the package is signed, if it is; without packages.
    pub sign: Option<SignWork>,
    /// Images whose reference begins with a key are pulled from its value.
    pub registry_overrides: BTreeMap<String, String>,
    /// Leave SBOMs out.
    pub skip_sbom: bool,
    /// For the build section.
    pub build: BuildFacts,
    /// Largest size of one file of the archive, in bytes.
    pub split: Option<u64>,
}

impl Plan {
    /// Adds the implied pipeline of a package, whose definition is composed.
    ///
    /// # Errors
    ///
    /// [`PlanError`]
    #[expect(clippy::too_many_lines, reason = "to be shortened")]
    pub fn imply(&mut self, mut definition: Definition, how: &Implied) -> Result<(), PlanError> {
        let architecture = definition.metadata.architecture.clone();
        let platform: Platform = format!("linux/{architecture}")
            .parse()
            .map_err(|_| PlanError::Architecture(architecture.clone()))?;
        let overrides = &how.registry_overrides;
        definition.build.registry_overrides.clone_from(overrides);
        let name = |rest: String| format!("{}{rest}", how.prefix);
        let mut components = Vec::new();
        let (mut order, mut ends) = (Order::default(), Vec::new());
        let mut sboms: Vec<(String, String)> = Vec::new();
        let mut images: BTreeMap<String, String> = BTreeMap::new();
        let mut referenced: BTreeMap<String, Work> = BTreeMap::new();
        for component in &definition.components {
            let named = |image: &String| -> Result<Reference, PlanError> {
                image.parse().map_err(|source| PlanError::Reference {
                    component: component.name.clone(),
                    image: image.clone(),
                    source,
                })
            };
            let folders = Folders {
                own: how.folder.clone(),
                imported: how.imported.clone(),
            };
            for archive in &component.image_archives {
                for image in &archive.images {
                    let reference = named(image)?;
                    let found = folders.find(&archive.path);
                    let work = Work::from(ImportWork {
                        folder: found.root.to_owned(),
                        path: found.below.to_owned(),
                        reference: reference.clone(),
                        platform: platform.clone(),
                    });
                    referenced.insert(reference.to_string(), work);
                }
            }
            for image in &component.images {
                let reference = named(image)?;
                let full = reference.to_string();
                let pulled = overridden(&full, overrides);
                let from = pulled.parse().map_err(|source| PlanError::Override {
                    image: full.clone(),
                    to: pulled.clone(),
                    source,
                })?;
                // What an archive brings is not asked of a registry as well.
                referenced.entry(full).or_insert_with(|| {
                    Work::from(PullWork {
                        folder: how.folder.clone(),
                        reference: from,
                        platform: platform.clone(),
                        fresh: None,
                    })
                });
            }
            if !has_content(component) && !has_actions(component) {
                continue;
            }
            let id = name(format!("component:{}", component.name));
            ends.extend(self.component(&id, folders, component, &mut order, Step::new)?);
            components.push((component.name.clone(), id.clone()));
            let scanned = !component.files.is_empty() || !component.data_injections.is_empty();
            if scanned && !how.skip_sbom {
                let sbom = name(format!("sbom:component:{}", component.name));
                self.add(Step::new(
                    sbom.clone(),
                    vec![id.clone()],
                    Work::from(ComponentSbomWork {
                        name: component.name.clone(),
                        of: id,
                    }),
                ));
                sboms.push((names::component(&component.name), sbom));
            }
        }
        for (full, work) in referenced {
            let id = name(format!("image:{full}"));
            self.add(Step::new(id.clone(), Vec::new(), work));
            if !how.skip_sbom {
                let sbom = name(format!("sbom:image:{full}"));
                self.add(Step::new(
                    sbom.clone(),
                    vec![id.clone()],
                    Work::from(ImageSbomWork {
                        reference: full.clone(),
                        of: id.clone(),
                    }),
                ));
                sboms.push((names::image(&full), sbom));
            }
            images.insert(full, id);
        }
        let images: Vec<_> = images.into_iter().collect();
        let flattened = (!images.is_empty()).then(|| name("images".to_owned()));
        if let Some(id) = &flattened {
            let after = images.iter().map(|(_, step)| step.clone()).collect();
            self.add(Step::new(
                id.clone(),
                after,
                Work::from(ImagesWork { images }),
            ));
        }
        distinct(&sboms)?;
        let archive = archive_name(&definition, &architecture, &how.flavor)?;
        let mut after: Vec<String> = components.iter().map(|(_, id)| id.clone()).collect();
        after.extend(sboms.iter().map(|(_, id)| id.clone()));
        after.extend(flattened.clone());
        after.extend(ends);
        after.sort();
        after.dedup();
        let work = Work::from(PackageWork {
            definition,
            components,
            images: flattened,
            sboms,
            build: how.build.clone(),
            archive: how.publish.is_none().then(|| how.output.join(archive)),
            framed: how.publish.is_none(),
            folder: how.folder.clone(),
            split: how.split,
        });
        let package = name("package".to_owned());
        self.add(Step::new(package.clone(), after, work));
        let signing = how.sign.as_ref().map(|sign| {
            let id = name("sign".to_owned());
            let work = SignWork {
                task: id.clone(),
                packages: vec![SignedPackage {
                    step: package.clone(),
                    steps: self.led_to(&package),
                    archive: self.take_archive(&package),
                }],
                ..sign.clone()
            };
            let after = self.with_ancestors(std::slice::from_ref(&package));
            self.add(Step::new(id.clone(), after, Work::from(work.clone())));
            (id, work)
        });
        if let Some(to) = &how.publish {
            let id = name("publish".to_owned());
            let signatures = match signing {
                Some((id, work)) => vec![(id, work)],
                None => Vec::new(),
            };
            let work = PublishWork {
                signatures,
                task: id.clone(),
                packages: vec![package],
                to: vec![to.clone()],
                tags: Vec::new(),
                move_tags: false,
                split_layers: false,
            };
            let signed = work.signatures.iter().map(|(step, _)| step.clone());
            let needed: Vec<String> = work.packages.iter().cloned().chain(signed).collect();
            let after = self.with_ancestors(&needed);
            self.add(Step {
                // What a registry holds is asked for every time.
                cached: false,
                ..Step::new(id, after, Work::from(work))
            });
        }
        Ok(())
    }
}

/// Where an image is pulled from: the longest prefix that fits decides.
///
/// Source: docs/spec/package.md, "Split archives".
fn overridden(full: &str, overrides: &BTreeMap<String, String>) -> String {
    let fitting = overrides
        .iter()
        .filter_map(|(from, to)| Some((from, to, full.strip_prefix(from.as_str())?)));
    match fitting.max_by_key(|(from, _, _)| from.len()) {
        Some((_, to, rest)) => format!("{to}{rest}"),
        None => full.to_owned(),
    }
}

pub(crate) fn has_content(component: &Component) -> bool {
    !(component.files.is_empty()
        && component.data_injections.is_empty()
        && component.manifests.is_empty()
        && component.charts.is_empty()
        && component.repos.is_empty())
}

pub(crate) fn distinct(sboms: &[(String, String)]) -> Result<(), PlanError> {
    let mut seen = BTreeMap::new();
    for (file, step) in sboms {
        if let Some(other) = seen.insert(file, step) {
            return Err(PlanError::SbomNames(other.clone(), step.clone()));
        }
    }
    Ok(())
}

pub(crate) fn archive_name(
    definition: &Definition,
    architecture: &str,
    flavor: &str,
) -> Result<String, ArchiveNameError> {
    let (dialect, kind) =
        Dialect::of_kind(&definition.kind).unwrap_or((Dialect::Jackal, Kind::Package));
    ArchiveName {
        dialect,
        kind,
        name: &definition.metadata.name,
        architecture,
        version: &definition.metadata.version,
        flavor,
        differential_base: definition
            .build
            .differential
            .then_some(definition.build.differential_package_version.as_str()),
        uncompressed: definition.metadata.uncompressed,
    }
    .render()
}

/// The machine's architecture in Go's names.
#[must_use]
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_override_that_fits_says_where_an_image_is_pulled_from() {
        let overrides = [
            ("docker.io", "mirror.example.com"),
            ("docker.io/library", "mirror.example.com:5000/hub"),
            ("quay.io", "unused.example.com"),
        ]
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .into();
        let from = |full: &str| overridden(full, &overrides);
        assert_eq!(
            from("docker.io/library/nginx:1"),
            "mirror.example.com:5000/hub/nginx:1"
        );
        assert_eq!(from("docker.io/a/b:1"), "mirror.example.com/a/b:1");
        assert_eq!(from("ghcr.io/a/docker.io:1"), "ghcr.io/a/docker.io:1");
    }
}
