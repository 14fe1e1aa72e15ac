//! What archives of `docker save` say of their images.
//!
//! Source: the Docker Image Specification v1.2.0, "Combined Image JSON + Filesystem
//! Changeset Format"; `manifest.json` lists the images since Docker 1.10.

use serde::Deserialize;

use super::Digest;

/// The name of the list of images.
pub const LIST: &str = "manifest.json";

/// Maximum number of layers of an image. Docker's limit is 127.
pub const MAX_LAYERS: usize = 1000;

/// An image in the list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Saved {
    pub config: String,
    pub repo_tags: Option<Vec<String>>,
    pub layers: Vec<String>,
}

/// The part of a configuration that tells the layers.
#[derive(Deserialize)]
pub struct Config {
    pub rootfs: RootFs,
}

#[derive(Deserialize)]
pub struct RootFs {
    /// Of the uncompressed layers, from the lowest to the highest.
    pub diff_ids: Vec<Digest>,
}
