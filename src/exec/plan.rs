//! What there is to do: steps with their work, and what each waits for.
//!
//! A folder with only a definition has an implied pipeline; this module writes
//! it. Source: pipeline.md part 1, "Principles", and part 3, decision 7.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::graph::{Graph, GraphError};
use crate::oci::{Platform, Reference};
use crate::package::{ArchiveName, ArchiveNameError, Component, Definition, Dialect, Kind};
use crate::sbom::names;

/// One thing to do.
#[derive(Clone, Debug)]
pub struct Step {
    /// Unique in the plan.
    pub id: String,
    /// Steps whose results it reads, or that must merely come before it.
    pub after: Vec<String>,
    /// What it does.
    pub work: Work,
    /// The pool it takes a slot of.
    pub pool: Option<String>,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Work {
    /// Makes a component's tar.
    Component {
        /// Sources are relative to it.
        folder: PathBuf,
        /// The component, composed.
        component: Box<Component>,
    },
    /// Brings an image into the store.
    Image {
        /// Pins are beside this folder's definition.
        folder: PathBuf,
        /// Which image.
        reference: Reference,
        /// For which platform.
        platform: Platform,
    },
    /// Flattens images into one layout.
    Images {
        /// Each reference with the step that brings it.
        images: Vec<(String, String)>,
    },
    /// Catalogues an image.
    ImageSbom {
        /// As the document names it.
        reference: String,
        /// The step that brings the image.
        of: String,
    },
    /// Catalogues a component.
    ComponentSbom {
        /// The component's name.
        name: String,
        /// The step that makes its tar.
        of: String,
    },
    /// Puts a package together and writes its archive.
    Package(Box<PackageWork>),
}

/// What a package is put together from.
#[derive(Clone, Debug)]
pub struct PackageWork {
    /// Composed; `build` and the aggregate checksum are filled in.
    pub definition: Definition,
    /// Component steps with the component's name.
    pub components: Vec<(String, String)>,
    /// The step that makes `images/`.
    pub images: Option<String>,
    /// SBOM steps with the document's file name.
    pub sboms: Vec<(String, String)>,
    /// What goes into the build section.
    pub build: BuildFacts,
    /// Where the archive goes.
    pub archive: PathBuf,
    /// The folder that pins and messages are about.
    pub folder: PathBuf,
    /// Largest size of one file of the archive, in bytes.
    pub split: Option<u64>,
}

/// What a build section says beside the definition itself.
#[derive(Clone, Debug, Default)]
pub struct BuildFacts {
    /// Seconds since the Unix epoch; 0 unless the user says otherwise.
    pub timestamp: i64,
    /// Host name, if the user wants it recorded.
    pub terminal: Option<String>,
    /// User name, if the user wants it recorded.
    pub user: Option<String>,
}

impl Work {
    /// The verb, as pipelines and records write it.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Component { .. } => "component",
            Self::Image { .. } => "image",
            Self::Images { .. } => "images",
            Self::ImageSbom { .. } | Self::ComponentSbom { .. } => "sbom",
            Self::Package(_) => "package",
        }
    }
}

/// Everything there is to do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// By name.
    pub steps: BTreeMap<String, Step>,
}

/// What an implied pipeline is made with.
#[derive(Clone, Debug)]
pub struct Implied {
    /// The package's folder.
    pub folder: PathBuf,
    /// Stands before every step's name, with a colon; empty for a lone package.
    pub prefix: String,
    /// Overrides the definition's architecture.
    pub architecture: Option<String>,
    /// Components of this flavor are taken as well.
    pub flavor: String,
    /// Where the archive goes.
    pub output: PathBuf,
    /// Leave SBOMs out.
    pub skip_sbom: bool,
    /// For the build section.
    pub build: BuildFacts,
    /// Largest size of one file of the archive, in bytes.
    pub split: Option<u64>,
}

/// Why a definition has no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// An image that cannot be named.
    #[error("component `{component}` lists the image `{image}`: {source}")]
    Reference {
        /// The component.
        component: String,
        /// As written.
        image: String,
        /// What is wrong with it.
        source: crate::oci::ReferenceError,
    },
    /// Something that is not built yet.
    #[error("component `{component}` has `{key}`, which jackal cannot build yet: remove it")]
    NotYet {
        /// The component.
        component: String,
        /// The key.
        key: &'static str,
    },
    /// Two SBOM documents would have one file name.
    #[error("the SBOMs of `{0}` and `{1}` would have the same file name: rename one")]
    SbomNames(String, String),
    /// The platform cannot be written.
    #[error("architecture `{0}` cannot name a platform: use a word such as amd64 or arm64")]
    Architecture(String),
    /// The archive has no name.
    #[error(transparent)]
    Archive(#[from] ArchiveNameError),
    /// The steps make no graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl Plan {
    /// Adds the implied pipeline of a package.
    ///
    /// # Errors
    ///
    /// [`PlanError`]
    pub fn imply(&mut self, mut definition: Definition, how: &Implied) -> Result<(), PlanError> {
        let architecture = how
            .architecture
            .clone()
            .or_else(|| Some(definition.metadata.architecture.clone()).filter(|a| !a.is_empty()))
            .unwrap_or_else(|| host_architecture().to_owned());
        let platform: Platform = format!("linux/{architecture}")
            .parse()
            .map_err(|_| PlanError::Architecture(architecture.clone()))?;
        definition.metadata.architecture.clone_from(&architecture);
        select(&mut definition, &architecture, &how.flavor)?;
        let name = |rest: String| format!("{}{rest}", how.prefix);
        let mut components = Vec::new();
        let mut sboms: Vec<(String, String)> = Vec::new();
        let mut images: BTreeMap<String, String> = BTreeMap::new();
        let mut referenced: BTreeMap<String, Reference> = BTreeMap::new();
        for component in &definition.components {
            for image in &component.images {
                let reference: Reference =
                    image.parse().map_err(|source| PlanError::Reference {
                        component: component.name.clone(),
                        image: image.clone(),
                        source,
                    })?;
                referenced.insert(reference.to_string(), reference);
            }
            if !has_content(component) {
                continue;
            }
            let id = name(format!("component:{}", component.name));
            self.add(Step {
                id: id.clone(),
                after: Vec::new(),
                work: Work::Component {
                    folder: how.folder.clone(),
                    component: Box::new(component.clone()),
                },
                pool: None,
            });
            components.push((component.name.clone(), id.clone()));
            let scanned = !component.files.is_empty() || !component.data_injections.is_empty();
            if scanned && !how.skip_sbom {
                let sbom = name(format!("sbom:component:{}", component.name));
                self.add(Step {
                    id: sbom.clone(),
                    after: vec![id.clone()],
                    work: Work::ComponentSbom {
                        name: component.name.clone(),
                        of: id,
                    },
                    pool: None,
                });
                sboms.push((names::component(&component.name), sbom));
            }
        }
        for (full, reference) in referenced {
            let id = name(format!("image:{full}"));
            self.add(Step {
                id: id.clone(),
                after: Vec::new(),
                work: Work::Image {
                    folder: how.folder.clone(),
                    reference,
                    platform: platform.clone(),
                },
                pool: None,
            });
            if !how.skip_sbom {
                let sbom = name(format!("sbom:image:{full}"));
                self.add(Step {
                    id: sbom.clone(),
                    after: vec![id.clone()],
                    work: Work::ImageSbom {
                        reference: full.clone(),
                        of: id.clone(),
                    },
                    pool: None,
                });
                sboms.push((names::image(&full), sbom));
            }
            images.insert(full, id);
        }
        let images: Vec<_> = images.into_iter().collect();
        let flattened = (!images.is_empty()).then(|| name("images".to_owned()));
        if let Some(id) = &flattened {
            self.add(Step {
                id: id.clone(),
                after: images.iter().map(|(_, step)| step.clone()).collect(),
                work: Work::Images { images },
                pool: None,
            });
        }
        distinct(&sboms)?;
        let archive = archive_name(&definition, &architecture, &how.flavor)?;
        let mut after: Vec<String> = components.iter().map(|(_, id)| id.clone()).collect();
        after.extend(sboms.iter().map(|(_, id)| id.clone()));
        after.extend(flattened.clone());
        self.add(Step {
            id: name("package".to_owned()),
            after,
            work: Work::Package(Box::new(PackageWork {
                definition,
                components,
                images: flattened,
                sboms,
                build: how.build.clone(),
                archive: how.output.join(archive),
                folder: how.folder.clone(),
                split: how.split,
            })),
            pool: None,
        });
        Ok(())
    }

    fn add(&mut self, step: Step) {
        self.steps.insert(step.id.clone(), step);
    }

    /// The steps as a graph.
    ///
    /// # Errors
    ///
    /// [`GraphError`]
    pub fn graph(&self) -> Result<Graph<String>, GraphError> {
        let edges = self
            .steps
            .values()
            .flat_map(|step| step.after.iter().map(|on| (step.id.clone(), on.clone())));
        Graph::build(self.steps.keys().cloned(), edges)
    }

    /// Keeps `wanted` and what they need. A name stands for itself, and for
    /// every step of that name in any package (`package` for `web:package`).
    ///
    /// # Errors
    ///
    /// [`GraphError::Unknown`]
    pub fn narrow(&mut self, wanted: &[String]) -> Result<(), GraphError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut keep = BTreeSet::new();
        for name in wanted {
            let suffix = format!(":{name}");
            let instance = format!("{name}[");
            let before = keep.len();
            keep.extend(
                self.steps
                    .keys()
                    .filter(|id| *id == name || id.ends_with(&suffix) || id.starts_with(&instance)),
            );
            if keep.len() == before {
                return Err(GraphError::Unknown {
                    task: name.clone(),
                    by: None,
                });
            }
        }
        let mut open: Vec<String> = keep.iter().map(|id| (*id).clone()).collect();
        let mut needed: BTreeSet<String> = open.iter().cloned().collect();
        while let Some(id) = open.pop() {
            for before in self.steps.get(&id).map_or(&[][..], |step| &step.after) {
                if needed.insert(before.clone()) {
                    open.push(before.clone());
                }
            }
        }
        self.steps.retain(|id, _| needed.contains(id));
        Ok(())
    }
}

/// Drops components for other machines and flavors, and what decided it.
fn select(definition: &mut Definition, architecture: &str, flavor: &str) -> Result<(), PlanError> {
    // Source: package.md 2.7, rule 1.
    definition.components.retain(|component| {
        let fits = |asked: &str, have: &str| asked.is_empty() || asked == have;
        fits(&component.only.cluster.architecture, architecture)
            && fits(&component.only.flavor, flavor)
    });
    for component in &mut definition.components {
        component.only.cluster.architecture.clear();
        component.only.flavor.clear();
        let imports = [
            &component.import.name,
            &component.import.path,
            &component.import.url,
        ];
        let not_yet = [
            ("import", imports.iter().any(|word| !word.is_empty())),
            ("charts", !component.charts.is_empty()),
            ("repos", !component.repos.is_empty()),
            ("extensions.bigbang", component.extensions.bigbang.is_some()),
            (
                "actions.onCreate",
                component.actions.on_create != Default::default(),
            ),
        ];
        if let Some((key, _)) = not_yet.iter().find(|(_, present)| *present) {
            return Err(PlanError::NotYet {
                component: component.name.clone(),
                key,
            });
        }
    }
    Ok(())
}

fn has_content(component: &Component) -> bool {
    !(component.files.is_empty()
        && component.data_injections.is_empty()
        && component.manifests.is_empty())
}

fn distinct(sboms: &[(String, String)]) -> Result<(), PlanError> {
    let mut seen = BTreeMap::new();
    for (file, step) in sboms {
        if let Some(other) = seen.insert(file, step) {
            return Err(PlanError::SbomNames(other.clone(), step.clone()));
        }
    }
    Ok(())
}

fn archive_name(
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
        differential_base: None,
        uncompressed: definition.metadata.uncompressed,
    }
    .render()
}

/// The machine's architecture in Go's names.
fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether a folder holds a definition to build, and under which name. A
/// package that was unpacked there, checksums and all, is none.
#[must_use]
pub fn definition_in(folder: &Path) -> Option<(Dialect, PathBuf)> {
    if folder.join(Dialect::CHECKSUMS).is_file() {
        return None;
    }
    Dialect::ALL.into_iter().find_map(|dialect| {
        let path = folder.join(dialect.definition_file());
        path.is_file().then_some((dialect, path))
    })
}
