//! `package`: assembles a package and writes its archive.

pub mod assemble;
pub(crate) mod attached;
pub(crate) mod export;
pub(crate) mod exports;
mod frames;
pub(crate) mod marked;
mod sboms;
pub mod skeleton;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use assemble::compress_member;
use attached::Attached;
use export::{ArchiveFormat, Destination, Packing, export_archive};
use exports::{Exports, Form};

use crate::action::{Action, Fields as _, Output, fields};
use crate::cas::Cas;
use crate::cas::tree::Tree;
use crate::disk;
use crate::ground::folders::Folders;
use crate::ground::inputs::Inputs;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::{Made, Site};
use crate::ground::source::OwnFiles;
use crate::ground::threads::{blocking, computing};
use crate::ground::{Class, Failure, Readers, Withdrawal};
use crate::kinds::material::Material;
use crate::kinds::pins::Pin;
use crate::kinds::sbom::convert::{Whole, converted};
use crate::kinds::{Bench, Context, Kind, Prepared, inputs_over, of};
use crate::layout::{self, LayoutError};
use crate::package::{Definition, Dialect, Strictness};
use crate::sbom::format::Format;
use crate::sbom::names;
use crate::yaml::SourceText;

/// The actions: a package, and the compressed frames of one of its members.
pub(crate) const ACTION: &str = "package";
pub(crate) const COMPRESS: &str = "compress";

const MEMBER: &str = "member";

/// Begins the names of blobs that are SBOM documents.
const SBOMS: &str = "sboms/";

fields! {
    /// The parts of a package.
    struct PackageSettings {
        jackal: String = "jackal",
        definition: String = "definition",
        timestamp: i64 = "timestamp",
        terminal: Option<String> = "terminal",
        user: Option<String> = "user",
        /// Whether to make the frames of an archive.
        framed: bool = "framed",
        /// Paths in the package, which name the blobs that hold them: components,
        /// then images.
        parts: Vec<String> = "parts",
        /// File names of documents; the blobs have [`SBOMS`] before them. `None`:
        /// SBOMs are left out.
        sboms: Option<Vec<String>> = "sboms",
        /// Whether the archive of SBOMs has a page that shows them.
        viewer: bool = "viewer",
        /// The formats in which it has them as well.
        formats: Vec<String> = "sbomFormats",
        attached: Attached = "attached",
    }
}

/// Versions of the output formats; incremented when their bytes change.
const PACKAGE_FORMAT: u32 = 1;
const FRAMES_FORMAT: u32 = 1;

/// The parts of a package.
#[derive(Clone, Debug)]
pub struct PackageWork {
    /// The composed definition; `build` and the aggregate checksum are filled in later.
    pub definition: Definition,
    /// Component steps with the component's name.
    pub components: Vec<(String, String)>,
    /// The step that makes `images/`.
    pub images: Option<String>,
    /// SBOM steps with the document's file name.
    pub sboms: Vec<(String, String)>,
    /// Whether to pack a page that shows the SBOMs.
    pub viewer: bool,
    /// The formats in which it has them beside syft-JSON.
    pub formats: BTreeSet<Format>,
    /// The values for the build section.
    pub build: BuildFacts,
    /// The destination of the archive; `None`: none is written.
    pub archive: Option<PathBuf>,
    /// Whether an archive is written, by this step or by the one that signs the
    /// package.
    pub framed: bool,
    /// The package's folder, for messages, and those of imported components.
    pub folders: Folders,
    /// The schemas of its values; the nearest one first.
    pub schemas: Vec<String>,
    /// Largest size of one file of the archive, in bytes.
    pub split: Option<u64>,
}

/// Facts for the build section.
#[derive(Clone, Debug, Default)]
pub struct BuildFacts {
    /// Seconds since the Unix epoch; 0 by default.
    pub timestamp: i64,
    /// Host name, if it should be recorded.
    pub terminal: Option<String>,
    /// User name, if it should be recorded.
    pub user: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Archive {
    pub path: PathBuf,
    /// Whether it is not compressed.
    pub uncompressed: bool,
    /// Largest size of one file of it, in bytes.
    pub split: Option<u64>,
}

impl PackageWork {
    /// The archive that the step writes.
    pub(crate) fn to_write(&self) -> Option<Archive> {
        Some(Archive {
            path: self.archive.clone()?,
            uncompressed: self.definition.metadata.uncompressed,
            split: self.split,
        })
    }
}

impl Kind for PackageWork {
    fn verb(&self) -> &'static str {
        "package"
    }

    fn reads(&self, _: &OwnFiles) -> CheckoutReads {
        attached::reads(&self.definition, &self.schemas, &self.folders)
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let (site, own) = (Arc::clone(cx.site), self.clone());
        let mut inputs = inputs_over(cx, &self.folders.made)?;
        if self.definition.attached().next().is_some() {
            inputs = blocking(move || {
                let declared = (&own.definition, own.schemas.as_slice());
                attached::add(declared, &site, &own.folders, &mut inputs)?;
                Ok(inputs)
            })
            .await?;
        }
        let mut settings = PackageSettings {
            jackal: env!("CARGO_PKG_VERSION").to_owned(),
            definition: self.definition.to_yaml(),
            timestamp: self.build.timestamp,
            terminal: self.build.terminal.clone(),
            user: self.build.user.clone(),
            framed: self.framed,
            parts: Vec::new(),
            sboms: (!self.sboms.is_empty()).then(Vec::new),
            viewer: self.viewer && !self.sboms.is_empty(),
            formats: self
                .formats
                .iter()
                .map(|format| format.name().to_owned())
                .collect(),
            attached: Attached::of(&self.definition, self.schemas.clone()),
        };
        for (name, step) in &self.components {
            for output in &of(cx.results, step)?.outputs {
                let path = Dialect::component_tar(name);
                inputs.blob(&path, output.digest, output.size)?;
                settings.parts.push(path);
            }
        }
        if let Some(step) = &self.images {
            for output in &of(cx.results, step)?.outputs {
                inputs.blob(&output.name, output.digest, output.size)?;
                settings.parts.push(output.name.clone());
            }
        }
        for (file, step) in &self.sboms {
            for output in &of(cx.results, step)?.outputs {
                let name = format!("{SBOMS}{file}");
                inputs.blob(&name, output.digest, output.size)?;
                settings.sboms.get_or_insert_default().push(file.clone());
            }
        }
        Ok(Prepared::new(ACTION, PACKAGE_FORMAT, &settings, inputs))
    }

    fn deliver(
        &self,
        site: &Site,
        outputs: &[Output],
        _trees: &[Tree],
        readers: Readers,
    ) -> Result<Vec<String>, Failure> {
        match self.to_write() {
            Some(archive) => export(site, &archive, outputs, &[], readers),
            None => Ok(Vec::new()),
        }
    }

    fn withdraw(&self, site: &Site, withdrawal: &mut Withdrawal) -> Result<(), Failure> {
        match self.to_write() {
            Some(archive) => withdraw(site, &archive, withdrawal),
            None => Ok(()),
        }
    }

    fn materials(&self, _: &Action) -> Vec<Material> {
        let build = &self.definition.build;
        let base = build.differential.then(|| Material::Package {
            name: format!(
                "{}:{}",
                self.definition.metadata.name, build.differential_package_version
            ),
            checksum: build.differential_package_checksum.clone(),
        });
        base.into_iter().collect()
    }
}

/// Writes the archive unless it exists unchanged, and its bundles beside it.
pub(crate) fn export(
    site: &Site,
    archive: &Archive,
    outputs: &[Output],
    bundles: &[Output],
    readers: Readers,
) -> Result<Vec<String>, Failure> {
    let Archive {
        path: archive,
        uncompressed,
        split,
    } = archive;
    if let Some(bound) = &site.options.output_bound {
        // A command of this run may have put a link there.
        disk::stays_within(bound, archive.parent().unwrap_or(bound))
            .map_err(|error| Failure::caused_by(Class::Configuration, &error))?;
    }
    let form = Form {
        split: *split,
        mode: readers.mode(),
    };
    let exports = Exports::of(&site.cas);
    let bundles = self::bundles(&site.cas, bundles)?;
    let file = layout::bundles_beside(archive);
    let definition = Dialect::ALL.into_iter().find_map(|dialect| {
        let name = dialect.definition_file();
        outputs.iter().find(|output| output.name == name)
    });
    let definition = definition.ok_or_else(|| Failure::internal("no definition to export"))?;
    let ours = exports.written(&file).contains(&file);
    // Before anything is written: it may be in the way.
    let beside = layout::Beside::plan(archive, &bundles, definition.digest, ours);
    let beside = beside.map_err(|error| match error {
        LayoutError::InTheWay { .. } => Failure::caused_by(Class::Configuration, &error),
        error => Failure::caused_by(Class::Environment, &error),
    })?;
    let format = if *uncompressed {
        ArchiveFormat::Tar
    } else {
        ArchiveFormat::TarZst
    };
    let files = match exports.current(archive, outputs, form) {
        Some(files) if !site.options.force => files,
        _ => {
            let members = members(outputs);
            let members = members.into_iter();
            let members = members.map(|(member, frames)| Ok((member, frames.into())));
            let earlier = exports.written(archive);
            let to = Destination {
                split: form.split,
                mode: form.mode,
                earlier: &earlier,
                ..Destination::new(archive, format)
            };
            let written = export_archive(&site.cas, members, &to, &|| false)?;
            exports.keep(archive, outputs, form, &written.files);
            written.files
        }
    };
    let written = beside.write();
    let written = written.map_err(|error| Failure::caused_by(Class::Environment, &error))?;
    if let Some(written) = written.filter(|_| !beside.is_mixed()) {
        exports.keep(&file, &[], Form::default(), &[written]);
    }
    Ok(files
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect())
}

/// Removes the archive and the bundles beside it, if they are as they were written.
pub(crate) fn withdraw(
    site: &Site,
    archive: &Archive,
    withdrawal: &mut Withdrawal,
) -> Result<(), Failure> {
    let exports = Exports::of(&site.cas);
    let bundles = layout::bundles_beside(&archive.path);
    let files = [archive.path.as_path(), bundles.as_path()];
    let before = withdrawal.removed.len();
    for file in files {
        let withdrawn = exports.withdraw(file, withdrawal);
        withdrawn.map_err(|error| Failure::caused_by(Class::Environment, &error))?;
    }
    // The user made a folder that the user named.
    let is_own = site.options.output_bound.is_some() && withdrawal.removed.len() > before;
    if let Some(folder) = archive.path.parent().filter(|_| is_own) {
        withdrawal.folder(folder);
    }
    Ok(())
}

/// Outputs of a package step that are compressed frames of a member, not members.
const FRAMES: &str = "frames:";

/// Assembles a package using only the inputs; reads only its SBOMs.
pub(crate) async fn make(action: &Action, inputs: &Inputs, bench: &Bench) -> Result<Made, Failure> {
    let settings = PackageSettings::read("", &action.settings)?;
    let source = SourceText::new("jackal.yaml", settings.definition.as_str());
    let definition = Definition::parse(&source, Strictness::Existing).map_err(Failure::internal)?;
    let mut parts = Vec::new();
    for path in &settings.parts {
        parts.push(Output::of(path, &inputs.given(path)?));
    }
    let mut documents = Vec::new();
    for name in settings.sboms.iter().flatten() {
        let document = inputs.given(&format!("{SBOMS}{name}"))?;
        documents.push(Output::of(name, &document));
    }
    let facts = BuildFacts {
        timestamp: settings.timestamp,
        terminal: settings.terminal,
        user: settings.user,
    };
    let framed = settings.framed && !definition.metadata.uncompressed;
    let (cas, scanned) = (Arc::clone(&bench.cas), settings.sboms.is_some());
    let mut sboms = Vec::new();
    if scanned {
        for name in &settings.formats {
            let made = in_format(bench, name, &documents, &definition, &facts).await?;
            sboms.push((Dialect::sboms_in(name), made));
        }
        sboms.push((Dialect::SBOMS.to_owned(), documents));
    }
    let inputs = inputs.clone();
    let members = blocking(move || {
        parts.extend(settings.attached.make(&cas, &inputs)?);
        let viewer = settings.viewer.then_some(&definition.metadata);
        for (name, documents) in sboms {
            let viewer = viewer.filter(|_| name == Dialect::SBOMS);
            parts.push(sboms::sboms_tar(&cas, &name, documents, viewer)?);
        }
        let architecture = definition.metadata.architecture.clone();
        let made = (settings.jackal.as_str(), architecture.as_str());
        Ok(assemble::package(&cas, definition, parts, &facts, made)?)
    })
    .await?;
    let mut outputs = members.clone();
    if framed {
        for member in &members {
            outputs.extend(frames(bench, member).await?);
        }
    }
    Ok(outputs.into())
}

/// The documents in the format called `name`, with one about the whole package.
async fn in_format(
    bench: &Bench,
    name: &str,
    documents: &[Output],
    definition: &Definition,
    facts: &BuildFacts,
) -> Result<Vec<Output>, Failure> {
    let format = Format::named(name);
    let format = format.ok_or_else(|| Failure::internal("an unknown format of SBOMs"))?;
    let about = &definition.metadata;
    let whole = Whole::new(&about.name, &about.version, &about.vendor);
    let whole = (&*names::package(&about.name), whole);
    converted(bench, format, facts.timestamp, documents, whole).await
}

/// The compressed frames of a member; `None` for one that is not compressed.
pub(crate) async fn frames(bench: &Bench, member: &Output) -> Result<Option<Output>, Failure> {
    if Packing::of_member(&member.name) == Packing::Raw {
        return Ok(None);
    }
    let action = Action::new(COMPRESS, FRAMES_FORMAT);
    let mut inputs = Inputs::new(&bench.cas);
    inputs.blob(MEMBER, member.digest, member.size)?;
    let made = bench.nested(vec![Prepared::of(action, inputs)]).await?;
    let name = format!("{FRAMES}{}", member.name);
    let first = made.into_iter().next();
    Ok(first.map(|output| Output { name, ..output }))
}

/// Compresses one member using only the inputs.
pub(crate) async fn compress(inputs: &Inputs, bench: &Bench) -> Result<Made, Failure> {
    let member = Output::of(MEMBER, &inputs.given(MEMBER)?);
    let cas = Arc::clone(&bench.cas);
    let frames = computing(move || Ok(compress_member(&cas, &member)?)).await?;
    Ok(vec![frames].into())
}

/// A package's members, each with its frames.
pub(crate) fn members(outputs: &[Output]) -> Vec<(Output, Option<Output>)> {
    let frames: BTreeMap<&str, &Output> = outputs
        .iter()
        .filter_map(|output| Some((output.name.strip_prefix(FRAMES)?, output)))
        .collect();
    outputs
        .iter()
        .filter(|output| !output.name.starts_with(FRAMES))
        .map(|output| {
            let frames = frames.get(output.name.as_str()).map(|o| (*o).clone());
            (output.clone(), frames)
        })
        .collect()
}

pub(crate) fn bundles(cas: &Cas, outputs: &[Output]) -> Result<Vec<Vec<u8>>, Failure> {
    let limit = crate::signing::MAX_ATTESTATION_BYTES;
    outputs
        .iter()
        .map(|output| Ok(cas.document(&output.digest, limit)?))
        .collect()
}
