//! An action as a document, so that it can run elsewhere.

use serde::{Deserialize, Serialize};

use super::{Action, InputDirectory, InputError, InputFile, InputNode, InputTree, Settings};
use crate::oci::Digest;

/// Version of the document.
const VERSION: u32 = 1;

/// The parts of a pure action that another machine needs: its verb, format, platform,
/// settings and inputs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    kind: String,
    format: u32,
    salt: String,
    platform: Option<String>,
    settings: Vec<(String, String)>,
    inputs: Vec<(String, Entry)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Entry {
    File {
        digest: Digest,
        size: u64,
        executable: bool,
        private: bool,
    },
    Link {
        target: String,
    },
    Directory {
        private: bool,
    },
}

/// Why a document is not an action.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not a document of this form.
    #[error("not an action")]
    Malformed(#[from] serde_json::Error),
    /// Another version of it.
    #[error(
        "the action has version {0}, expected {VERSION}: use the same version of jackal on both sides"
    )]
    Version(u32),
    /// Not a platform.
    #[error("`{0}` is not a platform")]
    Platform(String),
    /// The inputs are not a valid tree.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// Writes an action of a pure kind.
///
/// # Errors
///
/// [`WireError::Malformed`]: it cannot be written as JSON.
pub fn encode(action: &Action) -> Result<Vec<u8>, WireError> {
    let inputs = action.inputs.walk(".").into_iter().map(|(path, node)| {
        let entry = match node {
            InputNode::File(file) => Entry::File {
                digest: file.digest,
                size: file.size,
                executable: file.executable,
                private: file.private,
            },
            InputNode::Link(target) => Entry::Link {
                target: target.clone(),
            },
            InputNode::Directory(directory) => Entry::Directory {
                private: directory.private,
            },
        };
        (path, entry)
    });
    let settings = action.settings.iter();
    let document = Document {
        version: VERSION,
        kind: action.kind.clone(),
        format: action.format,
        salt: action.salt.clone(),
        platform: action.platform.as_ref().map(ToString::to_string),
        settings: settings
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        inputs: inputs.collect(),
    };
    Ok(serde_json::to_vec_pretty(&document)?)
}

/// Reads an action of a pure kind.
///
/// # Errors
///
/// [`WireError`]
pub fn decode(bytes: &[u8]) -> Result<Action, WireError> {
    let document: Document = serde_json::from_slice(bytes)?;
    if document.version != VERSION {
        return Err(WireError::Version(document.version));
    }
    let mut action = Action::new(&document.kind, document.format);
    action.salt = document.salt;
    action.platform = document
        .platform
        .map(|text| text.parse().map_err(|_| WireError::Platform(text.clone())))
        .transpose()?;
    let mut settings = Settings::default();
    for (name, value) in document.settings {
        settings.put(name, value);
    }
    action.settings = settings;
    let mut tree = InputTree::default();
    for (path, entry) in document.inputs {
        let node = match entry {
            Entry::File {
                digest,
                size,
                executable,
                private,
            } => InputNode::File(InputFile {
                digest,
                size,
                executable,
                private,
            }),
            Entry::Link { target } => InputNode::Link(target),
            Entry::Directory { private } => InputNode::Directory(InputDirectory::empty(private)),
        };
        let path = if path.is_empty() { "." } else { &path };
        tree.insert(path, node)?;
    }
    action.inputs = tree.into();
    Ok(action)
}
