//! `jackal dev find-images`: which images the manifests and charts of a package
//! name.
//!
//! Kustomizations are built as for a package. Charts are rendered by Helm, if it is
//! installed. Text that only looks like an image
//! reference counts if a registry has the image.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::process::Command;

use super::build_error::BuildError;
use super::compose::{Ask, Chosen, Composer};
use super::find::{self, read_text};
use super::options::{Pins, Place, RunOptions, Variant};
use super::skeletons::Skeletons;
use crate::cas::Cas;
use crate::ground::folders::Folders;
use crate::ground::site::Site;
use crate::ground::{Class, Failure};
use crate::kinds::kustomization::KustomizationWork;
use crate::kinds::{self, Work};
use crate::oci::Reference;
use crate::package::{Chart, Component, ImagesIn};
use crate::plan::Composed;
use crate::registry::Registry;
use crate::text::with_causes;
use crate::yaml::{SourceText, parse};

/// Maximum size of a rendered chart, in bytes: 64 MiB.
const MAX_RENDERED: usize = 64 << 20;

/// Where to search for images, and with which values.
#[derive(Clone, Debug)]
pub struct FindOptions {
    pub place: Place,
    /// Which variant of the package.
    pub variant: Variant,
    /// How to treat pins.
    pub pins: Pins,
    /// The folder of the package.
    pub folder: PathBuf,
    /// Values of deploy variables.
    pub deploy_set: BTreeMap<String, String>,
    /// Whether signatures and attestations are not looked for.
    pub skip_cosign: bool,
    /// Placeholder for the cluster's registry.
    pub registry_url: String,
    /// The Kubernetes version that charts are rendered for.
    pub kube_version: Option<String>,
}

/// The images of one component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub component: String,
    /// Images that resources name, with the resources.
    pub images: BTreeMap<String, BTreeSet<String>>,
    /// Images that exist in a registry and whose reference appears in text.
    pub possible: BTreeMap<String, BTreeSet<String>>,
    /// Images that the definition takes out of archives, with the archives.
    pub archived: BTreeMap<String, BTreeSet<String>>,
    /// Signatures and attestations of the images, as cosign tags them.
    pub cosign: Vec<String>,
    /// Parts that could not be searched.
    pub errors: Vec<String>,
}

/// A package to search for images.
pub struct ImageSearch {
    options: FindOptions,
    folder: PathBuf,
    composed: Composed,
    site: Arc<Site>,
}

impl ImageSearch {
    /// Reads and composes the definition.
    ///
    /// # Errors
    ///
    /// [`BuildError`]
    pub fn new(options: FindOptions, ask: Ask<'_>) -> Result<Self, BuildError> {
        let place = &options.place;
        let registry = place.connection.client()?;
        let cas = Arc::new(Cas::open(&place.cache)?);
        let path = find::definition(place, &options.folder)?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let skeletons = Skeletons::new(&cas, &registry, options.pins);
        let mut composer = Composer::new(place, &options.variant, skeletons, ask);
        let (composed, _) = composer.compose(&path, &Chosen::of(&options.variant))?;
        drop(composer);
        let site_options = RunOptions::default().site_options(place, options.pins);
        let site = Site::new(cas, registry, &place.workspace(), site_options);
        Ok(Self {
            options,
            folder,
            composed,
            site,
        })
    }

    /// Finds the images of every component. Charts and kustomizations that cannot be
    /// rendered are in [`Found::errors`].
    pub async fn run(&self) -> Vec<Found> {
        let mut all = Vec::new();
        for component in &self.composed.definition.components {
            let mut look = Look {
                options: &self.options,
                composed: &self.composed,
                folder: &self.folder,
                site: &self.site,
                images: ImagesIn::default(),
                errors: Vec::new(),
            };
            look.component(component).await;
            let Look { images, errors, .. } = look;
            let mut found = Found {
                component: component.name.clone(),
                images: images.sure,
                errors,
                ..Found::default()
            };
            for archive in &component.image_archives {
                for image in &archive.images {
                    let places = found.archived.entry(image.clone()).or_default();
                    places.insert(archive.path.clone());
                }
            }
            if self.options.pins != Pins::Offline {
                let unknown = images.maybe.into_iter();
                let archived = found.archived.clone();
                for (image, places) in unknown.filter(|(image, _)| !archived.contains_key(image)) {
                    if digest_of(&self.site.registry, &image).await.is_some() {
                        found.possible.insert(image, places);
                    }
                }
                let images = found.images.keys().chain(found.possible.keys());
                // Images inside archives are not looked up in a registry.
                let images = images.filter(|_| !self.options.skip_cosign);
                for image in images.filter(|image| !found.archived.contains_key(*image)) {
                    found
                        .cosign
                        .extend(cosign_tags(&self.site.registry, image).await);
                }
            }
            all.push(found);
        }
        all
    }
}

struct Look<'o> {
    options: &'o FindOptions,
    composed: &'o Composed,
    folder: &'o Path,
    site: &'o Arc<Site>,
    images: ImagesIn,
    errors: Vec<String>,
}

impl Look<'_> {
    async fn component(&mut self, component: &Component) {
        for manifest in &component.manifests {
            for file in &manifest.files {
                if file.contains("://") {
                    let why = "it is remote; check it yourself";
                    let error = format!("manifest `{file}` was not searched: {why}");
                    self.errors.push(error);
                    continue;
                }
                match read_text(&self.path(file)) {
                    Ok(text) => self.text(file, &text),
                    Err(error) => self.errors.push(with_causes(&error)),
                }
            }
            for path in &manifest.kustomizations {
                match self
                    .kustomized(path, manifest.kustomize_allow_any_directory)
                    .await
                {
                    Ok(text) => self.text(path, &text),
                    Err(failure) => self.errors.push(failure.message),
                }
            }
        }
        for chart in &component.charts {
            let rendered = self.chart(chart).await;
            match rendered {
                Ok(text) => self.text(&chart.name, &text),
                Err(Missing::Program) => self.errors.push(format!(
                    "chart `{}` could not be rendered: helm is not on PATH",
                    chart.name
                )),
                Err(Missing::Output(why)) => self
                    .errors
                    .push(format!("cannot render chart `{}`: {why}", chart.name)),
            }
        }
    }

    /// What a build would make of the kustomization `source`.
    async fn kustomized(&self, source: &str, any_folder: bool) -> Result<String, Failure> {
        let work = Work::from(KustomizationWork {
            folders: Folders {
                own: self.folder.to_owned(),
                imported: self.composed.imported.clone(),
                ..Folders::default()
            },
            source: source.to_owned(),
            any_folder,
        });
        let output = kinds::output(self.site, &work).await?;
        let mut text = String::new();
        self.site
            .cas
            .open_blob(&output.digest)?
            .read_to_string(&mut text)
            .map_err(|error| Failure::caused_by(Class::Environment, &error))?;
        Ok(text)
    }

    /// Makes a local path absolute for a program; keeps a URL.
    fn place(&self, path: &str) -> PathBuf {
        if path.contains("://") {
            PathBuf::from(path)
        } else {
            self.path(path)
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        let imported = self.composed.imported.iter().find_map(|(name, place)| {
            let below = path.strip_prefix(name.as_str())?.strip_prefix('/')?;
            Some(place.join(below))
        });
        imported.unwrap_or_else(|| self.folder.join(path))
    }

    fn text(&mut self, name: &str, text: &str) {
        match parse(&SourceText::new(name, self.filled(text))) {
            Ok(documents) => self.images.look(&documents, name),
            Err(mistakes) => self.errors.push(mistakes.to_string()),
        }
    }

    /// Replaces deploy-time placeholders with the values that are known now.
    fn filled(&self, text: &str) -> String {
        let definition = &self.composed.definition;
        let mut values: BTreeMap<String, &str> = BTreeMap::new();
        for variable in &definition.variables {
            values.insert(format!("VAR_{}", variable.name), &variable.default);
        }
        for (name, value) in &self.options.deploy_set {
            values.insert(format!("VAR_{}", name.to_uppercase()), value);
        }
        for constant in &definition.constants {
            let value = constant.value.as_deref().unwrap_or_default();
            values.insert(format!("CONST_{}", constant.name), value);
        }
        values.insert("REGISTRY".to_owned(), &self.options.registry_url);
        let mut text = text.to_owned();
        for (name, value) in values {
            for word in ["JACKAL", "ZARF"] {
                text = text.replace(&format!("###{word}_{name}###"), value);
            }
        }
        text
    }

    async fn chart(&self, chart: &Chart) -> Result<String, Missing> {
        let local = self.path(&chart.local_path).to_string_lossy().into_owned();
        let name = if chart.repo_name.is_empty() {
            &chart.name
        } else {
            &chart.repo_name
        };
        let mut arguments = vec!["template".to_owned(), chart.name.clone()];
        if !chart.local_path.is_empty() {
            arguments.push(local);
        } else if Reference::url_path(&chart.url).is_some() {
            arguments.push(chart.url.clone());
        } else if chart.url.ends_with(".git") || !chart.git_path.is_empty() {
            let why = "it is in a Git repository; clone it and set `localPath`";
            return Err(Missing::Output(why.to_owned()));
        } else {
            arguments.extend([name.clone(), "--repo".to_owned(), chart.url.clone()]);
        }
        if chart.local_path.is_empty() && !chart.version.is_empty() {
            arguments.extend(["--version".to_owned(), chart.version.clone()]);
        }
        arguments.extend(["--namespace".to_owned(), chart.namespace.clone()]);
        if let Some(version) = &self.options.kube_version {
            arguments.extend(["--kube-version".to_owned(), version.clone()]);
        }
        arguments.push("--include-crds".to_owned());
        for file in &chart.values_files {
            arguments.push("--values".to_owned());
            arguments.push(self.place(file).to_string_lossy().into_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run("helm", &arguments, self.folder).await
    }
}

/// Why a program produced no output.
enum Missing {
    /// It is not on `PATH`.
    Program,
    /// It failed with this message.
    Output(String),
}

async fn run(program: &str, arguments: &[&str], folder: &Path) -> Result<String, Missing> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Missing::Program,
            _ => Missing::Output(with_causes(&error)),
        })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(Missing::Output(format!("{program}: {}", stderr.trim())));
    }
    if output.stdout.len() > MAX_RENDERED {
        return Err(Missing::Output(
            "the output is larger than 64 MiB".to_owned(),
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn digest_of(registry: &Registry, image: &str) -> Option<String> {
    let reference: Reference = image.parse().ok()?;
    let (descriptor, _) = registry.resolve(&reference).await.ok()?;
    Some(descriptor.digest.hex())
}

/// The tags that cosign keeps an image's signature and attestations under, as
/// far as the registry has them.
async fn cosign_tags(registry: &Registry, image: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (Some(hex), Ok(reference)) = (digest_of(registry, image).await, image.parse::<Reference>())
    else {
        return found;
    };
    let repository = format!("{}/{}", reference.registry(), reference.repository());
    for end in ["sig", "att"] {
        let tagged = format!("{repository}:sha256-{hex}.{end}");
        if digest_of(registry, &tagged).await.is_some() {
            found.push(tagged);
        }
    }
    found
}
