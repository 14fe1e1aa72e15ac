//! `jackal dev generate`: a first definition for a chart, with its images.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::build_error::BuildError;
use super::find_images::{FindOptions, ImageSearch};
use crate::disk::{self, TemporaryFolder};
use crate::package::{Chart, Component, Definition, Dialect, Metadata};

/// The chart to generate a definition for, and where to write it.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// Name of the package, component, chart and namespace.
    pub name: String,
    /// Chart repository, OCI reference or Git repository.
    pub url: String,
    /// Version of the chart.
    pub version: String,
    /// The chart's folder in a Git repository.
    pub git_path: String,
    /// Folder for the definition.
    pub output: PathBuf,
    /// How images are searched; its folder is replaced.
    pub find: FindOptions,
}

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Both file names are taken.
    #[error("`{0}` already exists, and so does `{1}`")]
    Exists(PathBuf, String),
    #[error("cannot write `{path}`")]
    Write {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// The generated definition cannot be composed.
    #[error(transparent)]
    Build(#[from] BuildError),
}

disk::from_disk_error!(GenerateError::Write);

/// A definition that was written.
#[derive(Clone, Debug)]
pub struct Generated {
    pub file: PathBuf,
    /// Number of images it lists.
    pub images: usize,
    /// What could not be searched, and why.
    pub errors: Vec<String>,
    draft: Draft,
}

#[derive(Clone, Debug)]
struct Draft {
    definition: Definition,
    find: FindOptions,
}

/// Writes a definition with the chart, and without images.
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
    fs::create_dir_all(&options.output).map_err(disk::at(&options.output))?;
    let usual = Dialect::Jackal.definition_file();
    let other = format!("{}-{usual}", options.name);
    let own = options.output.join(usual);
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
            Err(error) => return Err(error.into()),
        }
    }
    Err(GenerateError::Exists(own, other))
}

impl Generated {
    /// A search for the chart's images, with the temporary folder that it reads.
    ///
    /// # Errors
    ///
    /// [`GenerateError`]
    pub fn search(&self) -> Result<(ImageSearch, TemporaryFolder), GenerateError> {
        // The file may be named NAME-jackal.yaml, which is not found automatically.
        let folder = disk::scratch_folder()?;
        let path = folder.path().join(Dialect::Jackal.definition_file());
        disk::write_hint(&path, self.draft.definition.to_yaml().as_bytes())?;
        let mut find = self.draft.find.clone();
        find.folder = folder.path().to_owned();
        Ok((ImageSearch::new(find, &mut |_| None)?, folder))
    }

    /// Adds the found images to the definition.
    ///
    /// # Errors
    ///
    /// [`GenerateError`]
    pub fn complete(mut self, found: &[super::Found]) -> Result<Self, GenerateError> {
        let component = &mut self.draft.definition.components[0];
        for found in found {
            let images = found.images.keys().chain(found.possible.keys());
            component.images.extend(images.cloned());
            self.errors.extend(found.errors.iter().cloned());
        }
        self.images = component.images.len();
        let text = self.draft.definition.to_yaml();
        disk::write(&self.file, text.as_bytes())?;
        Ok(self)
    }
}
