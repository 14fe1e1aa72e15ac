//! `package`: what a package is put together from, and its archive.

pub mod assemble;
pub(crate) mod export;
pub(crate) mod exports;
mod frames;
pub mod skeleton;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use assemble::{BuildData, Part, compress_member};
use export::{ArchiveFormat, export_archive};
use exports::Exports;

use crate::action::{Action, Input, InputKind, Output};
use crate::cas::Cas;
use crate::ground::site::{Made, Site};
use crate::ground::threads::{blocking, computing};
use crate::ground::{Class, Failure};
use crate::kinds::material::Material;
use crate::kinds::pins::Pin;
use crate::kinds::{Context, Kind, Prepared, blob, of};
use crate::layout;
use crate::package::Definition;

/// Versions of what is written; raised when its bytes change.
const PACKAGE_FORMAT: u32 = 1;
const FRAMES_FORMAT: u32 = 1;

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
    /// Where the archive goes; `None`: none is written.
    pub archive: Option<PathBuf>,
    /// Whether an archive is written, here or once it is signed.
    pub framed: bool,
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

/// An archive to be written.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Where it goes.
    pub path: PathBuf,
    /// Whether it is not compressed.
    pub uncompressed: bool,
    /// Largest size of one file of it, in bytes.
    pub split: Option<u64>,
}

impl PackageWork {
    /// The archive that the step writes.
    fn to_write(&self) -> Option<Archive> {
        Some(Archive {
            path: self.archive.clone()?,
            uncompressed: self.definition.metadata.uncompressed,
            split: self.split,
        })
    }

    /// Takes the archive away from the step: the step that signs writes it.
    pub(crate) fn take_archive(&mut self) -> Option<Archive> {
        let archive = self.to_write();
        self.archive = None;
        archive
    }
}

impl Kind for PackageWork {
    fn verb(&self) -> &'static str {
        "package"
    }

    fn pins(&self) -> Result<Vec<Pin>, Failure> {
        Ok(Vec::new())
    }

    async fn action(&self, cx: &Context<'_>) -> Result<Prepared, Failure> {
        let mut action = Action::new("package", PACKAGE_FORMAT);
        let set = |key: &str, value: String| (key.to_owned(), value);
        action.settings = vec![
            set("jackal", env!("CARGO_PKG_VERSION").to_owned()),
            set("definition", self.definition.to_yaml()),
            set("timestamp", self.build.timestamp.to_string()),
            set("terminal", format!("{:?}", self.build.terminal)),
            set("user", format!("{:?}", self.build.user)),
        ];
        if !self.framed {
            // Without the frames that an archive wants.
            action.settings.push(set("archive", "none".to_owned()));
        }
        let build = &self.definition.build;
        if build.differential {
            // Said of its own, for provenance.
            let name = &self.definition.metadata.name;
            let base = format!("{name}:{}", build.differential_package_version);
            action.settings.push(set("base", base));
            let checksum = build.differential_package_checksum.clone();
            action.settings.push(set("baseChecksum", checksum));
        }
        let parts = self.components.iter().chain(&self.sboms);
        for (name, step) in parts {
            for output in &of(cx.results, step)?.outputs {
                action.inputs.push(Input {
                    path: format!("{step} as {name}"),
                    kind: InputKind::Blob {
                        digest: output.digest,
                    },
                });
            }
        }
        if let Some(step) = &self.images {
            for output in &of(cx.results, step)?.outputs {
                action.inputs.push(blob(step, output));
            }
        }
        Ok(action.into())
    }

    async fn make(&self, cx: &Context<'_>, _: &Prepared) -> Result<Made, Failure> {
        let site = cx.site;
        let mut parts = Vec::new();
        for (name, step) in &self.components {
            for output in &of(cx.results, step)?.outputs {
                parts.push(Part {
                    path: format!("components/{name}.tar"),
                    digest: output.digest,
                    size: output.size,
                });
            }
        }
        if let Some(step) = &self.images {
            for output in &of(cx.results, step)?.outputs {
                parts.push(Part {
                    path: output.name.clone(),
                    digest: output.digest,
                    size: output.size,
                });
            }
        }
        let mut documents = Vec::new();
        for (file, step) in &self.sboms {
            for output in &of(cx.results, step)?.outputs {
                documents.push((file.clone(), output.clone()));
            }
        }
        let cas = Arc::clone(&site.cas);
        let build = BuildData {
            timestamp: self.build.timestamp,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            architecture: self.definition.metadata.architecture.clone(),
            terminal: self.build.terminal.clone(),
            user: self.build.user.clone(),
        };
        let definition = self.definition.clone();
        let scanned = !self.sboms.is_empty();
        let members = blocking(move || {
            if scanned {
                let tar = assemble::sboms_tar(&cas, &documents)?;
                parts.push(Part {
                    path: "sboms.tar".into(),
                    digest: tar.digest,
                    size: tar.size,
                });
            }
            Ok(assemble::package(&cas, definition, parts, &build)?)
        })
        .await?;
        let mut outputs = members.clone();
        if self.framed && !self.definition.metadata.uncompressed {
            for member in &members {
                outputs.extend(frames(site, member).await?);
            }
        }
        Ok(outputs.into())
    }

    fn deliver(&self, site: &Site, outputs: &[Output]) -> Result<Vec<String>, Failure> {
        match self.to_write() {
            Some(archive) => export(site, &archive, outputs, &[]),
            None => Ok(Vec::new()),
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

/// Writes the archive, unless it is there and untouched; what speaks about it,
/// beside it.
pub(crate) fn export(
    site: &Site,
    archive: &Archive,
    outputs: &[Output],
    bundles: &[Output],
) -> Result<Vec<String>, Failure> {
    let Archive {
        path: archive,
        uncompressed,
        split,
    } = archive;
    let split = *split;
    let bundles = self::bundles(&site.cas, bundles)?;
    layout::write_bundles(archive, &bundles)
        .map_err(|error| Failure::new(Class::Environment, error))?;
    let format = if *uncompressed {
        ArchiveFormat::Tar
    } else {
        ArchiveFormat::TarZst
    };
    let exports = Exports::of(&site.cas);
    let files = match exports.current(archive, outputs, split) {
        Some(files) if !site.wishes.force => files,
        _ => {
            let members = members(outputs);
            let members = members.into_iter();
            let members = members.map(|(member, frames)| Ok((member, frames.into())));
            let written = export_archive(&site.cas, members, archive, format, split, &|| false)?;
            exports.keep(archive, outputs, split, &written.files);
            written.files
        }
    };
    Ok(files
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect())
}

/// Outputs of a package step that are compressed frames of a member, not members.
const FRAMES: &str = "frames:";

pub(crate) async fn frames(site: &Arc<Site>, member: &Output) -> Result<Option<Output>, Failure> {
    let mut action = Action::new("compress", FRAMES_FORMAT);
    // Whether a member is worth compressing is decided by its path.
    let layer = member.name.starts_with("images/blobs/");
    action.settings.push(("layer".into(), layer.to_string()));
    action.inputs.push(Input {
        path: "member".into(),
        kind: InputKind::Blob {
            digest: member.digest,
        },
    });
    if layer {
        return Ok(None);
    }
    let (cas, member) = (Arc::clone(&site.cas), member.clone());
    let name = format!("{FRAMES}{}", member.name);
    let performed = site
        .perform(&action, || async move {
            let frames = computing(move || Ok(compress_member(&cas, &member)?)).await?;
            Ok(frames.into_iter().collect::<Vec<_>>().into())
        })
        .await?;
    let found = performed.result.outputs.into_iter().next();
    Ok(found.map(|output| Output { name, ..output }))
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

/// The bytes of a small output.
pub(crate) fn read(cas: &Cas, file: &Output, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    cas.open_blob(&file.digest)?
        .take(limit)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of bundles.
pub(crate) fn bundles(cas: &Cas, outputs: &[Output]) -> Result<Vec<Vec<u8>>, Failure> {
    let limit = crate::signing::MAX_ATTESTATION_BYTES;
    outputs
        .iter()
        .map(|output| read(cas, output, limit))
        .collect()
}
