//! `jackal dev generate`: a first definition for a chart, with its images.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::build_error::BuildError;
use super::find_images::{FindOptions, ImageSearch};
use crate::disk::{self, DiskError, TemporaryFolder};
use crate::package::{Chart, Component, Definition, Metadata};

/// What a definition is generated for.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Name of package, component, chart and namespace.
    pub name: String,
    /// Where the chart is.
    pub url: String,
    /// Which version.
    pub version: String,
    /// The chart's folder in a Git repository.
    pub git_path: String,
    /// Where the definition is written.
    pub output: PathBuf,
    /// How images are looked for; its folder is replaced.
    pub find: FindOptions,
}

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Both names are taken.
    #[error("`{0}` is there already, and so is {1}: remove one, or choose another folder")]
    Exists(PathBuf, String),
    /// The disk refused.
    #[error("`{path}` cannot be written: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The definition is none.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// A definition that was written.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The file.
    pub file: PathBuf,
    /// How many images it lists.
    pub images: usize,
    /// What could not be looked at.
    pub errors: Vec<String>,
    draft: Draft,
}

#[derive(Clone, Debug)]
struct Draft {
    definition: Definition,
    find: FindOptions,
}

/// Writes the definition of a package with the one chart, without images yet.
///
/// # Errors
///
/// [`GenerateError`]; an existing file is never replaced.
pub fn generate(options: GenerateOptions) -> Result<Generated, GenerateError> {
    let chart = Chart {
        name: options.name.clone(),
        version: options.version.clone(),
        url: options.url,
        git_path: options.git_path,
        namespace: options.name.clone(),
        ..Chart::default()
    };
    let definition = Definition {
        kind: "JackalPackageConfig".to_owned(),
        metadata: Metadata {
            name: options.name.clone(),
            version: options.version,
            description: "generated".to_owned(),
            ..Metadata::default()
        },
        components: vec![Component {
            name: options.name.clone(),
            required: Some(true),
            charts: vec![chart],
            ..Component::default()
        }],
        ..Definition::default()
    };
    let write = |path: &Path, source| GenerateError::Write {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(&options.output).map_err(|error| write(&options.output, error))?;
    let other = format!("{}-jackal.yaml", options.name);
    let own = options.output.join("jackal.yaml");
    for file in [own.clone(), options.output.join(&other)] {
        match disk::write_new(&file, definition.to_yaml().as_bytes()) {
            Ok(()) => {
                return Ok(Generated {
                    file,
                    images: 0,
                    errors: Vec::new(),
                    draft: Draft {
                        definition,
                        find: options.find,
                    },
                });
            }
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(write(&file, error.source)),
        }
    }
    Err(GenerateError::Exists(own, other))
}

impl Generated {
    /// A search for the chart's images, with the folder that it reads: that goes
    /// away when it is dropped.
    ///
    /// # Errors
    ///
    /// [`GenerateError`]
    pub fn search(&self) -> Result<(ImageSearch, TemporaryFolder), GenerateError> {
        // The definition may have another name than packages have; a folder of
        // its own has it under the usual one.
        let write = |DiskError { path, source }| GenerateError::Write { path, source };
        let folder = disk::scratch_folder().map_err(write)?;
        let path = folder.path().join("jackal.yaml");
        disk::write_hint(&path, self.draft.definition.to_yaml().as_bytes()).map_err(write)?;
        let mut find = self.draft.find.clone();
        find.folder = folder.path().to_owned();
        Ok((ImageSearch::new(find, &mut |_| None)?, folder))
    }

    /// Takes what was found into the definition.
    ///
    /// # Errors
    ///
    /// [`GenerateError::Write`]
    pub fn complete(mut self, found: &[super::Found]) -> Result<Self, GenerateError> {
        let component = &mut self.draft.definition.components[0];
        for found in found {
            let images = found.images.keys().chain(found.possible.keys());
            component.images.extend(images.cloned());
            self.errors.extend(found.errors.iter().cloned());
        }
        self.images = component.images.len();
        let text = self.draft.definition.to_yaml();
        disk::write(&self.file, text.as_bytes())
            .map_err(|DiskError { path, source }| GenerateError::Write { path, source })?;
        Ok(self)
    }
}
