//! A package as an OCI artifact: its configuration and its manifest.
//!
//! Source: docs/spec/registry.md, "Layers", "Configuration and manifest". The
//! bytes equal those of Go programs, which decode and re-encode manifests and
//! expect the same digest.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::oci::annotation::TITLE;
use crate::oci::{Descriptor, Digest, Index, Manifest, Platform, TAG_RULE, is_tag, media_type};
use crate::package::{Definition, Dialect, Metadata, time};

/// The operating system in index entries of packages.
pub const MULTI: &str = "multi";

/// A package for a registry or image layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// From `metadata.name`.
    pub name: String,
    /// Architecture, or [`SKELETON`](super::SKELETON).
    pub architecture: String,
    /// The bytes of the manifest.
    pub manifest: Vec<u8>,
    /// The bytes of the configuration.
    pub config: Vec<u8>,
    /// All blobs of the manifest without duplicates, the configuration first.
    pub blobs: Vec<Descriptor>,
}

/// Why a package cannot be an artifact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// There is no version for the tag.
    #[error("version is required for publishing: add `metadata.version`")]
    NoVersion,
    /// Version and flavor are not a valid tag.
    #[error("the tag `{0}` from version and flavor is invalid: a tag has {TAG_RULE}")]
    Tag(String),
    /// The build time is invalid.
    #[error(
        "invalid build.timestamp `{0}`: expected a time such as `Mon, 02 Jan 2006 15:04:05 +0000`"
    )]
    Time(String),
    /// JSON encoding failed, which no value should cause.
    #[error("cannot encode the manifest: {0}")]
    Json(String),
}

/// The artifact of a package with these files: path, digest, size in bytes.
///
/// Layers are sorted by digest, and the creation time is that of the build, so that
/// equal packages have equal manifests.
///
/// # Errors
///
/// [`ArtifactError`]
pub fn artifact(
    dialect: Dialect,
    definition: &Definition,
    architecture: &str,
    files: impl IntoIterator<Item = (String, Digest, u64)>,
) -> Result<Artifact, ArtifactError> {
    let json = |error: serde_json::Error| ArtifactError::Json(error.to_string());
    let text = definition.build.timestamp.clone().unwrap_or_default();
    let created = time::parse_rfc1123z(&text).and_then(time::rfc3339);
    let created = created.ok_or(ArtifactError::Time(text))?;
    let annotations = annotations(&definition.metadata, &created);
    let mut layers: Vec<Descriptor> = files
        .into_iter()
        .map(|(path, digest, size)| layer(dialect, &path, Descriptor::blob(digest, size)))
        .collect();
    layers.sort_by(|a, b| (a.digest, title(a)).cmp(&(b.digest, title(b))));
    let config = config(architecture, &annotations).map_err(json)?;
    let described = Descriptor::of(dialect.config_media_type(), &config);
    let mut blobs = vec![described.clone()];
    blobs.extend(layers.iter().cloned());
    blobs.dedup_by_key(|blob| blob.digest);
    Ok(Artifact {
        name: definition.metadata.name.clone(),
        architecture: architecture.to_owned(),
        manifest: manifest(described, layers, annotations).map_err(json)?,
        config,
        blobs,
    })
}

/// Path of a layer in its package, if annotated.
#[must_use]
pub fn title(layer: &Descriptor) -> Option<&str> {
    layer.annotations.get(TITLE).map(String::as_str)
}

/// The tag of a published package.
///
/// Source: docs/spec/registry.md, "References".
///
/// # Errors
///
/// [`ArtifactError::NoVersion`], [`ArtifactError::Tag`]
pub fn tag(version: &str, flavor: &str) -> Result<String, ArtifactError> {
    let tag = match (version, flavor) {
        ("", _) => return Err(ArtifactError::NoVersion),
        (version, "") => version.to_owned(),
        (version, flavor) => format!("{version}-{flavor}"),
    };
    match is_tag(&tag) {
        true => Ok(tag),
        false => Err(ArtifactError::Tag(tag)),
    }
}

/// The platform of a package in an index.
#[must_use]
pub fn platform(architecture: &str) -> Platform {
    Platform {
        architecture: architecture.to_owned(),
        os: MULTI.to_owned(),
        variant: None,
    }
}

/// The entry of `index` for a package of `architecture`.
#[must_use]
pub fn entry<'i>(index: &'i Index, architecture: &str) -> Option<&'i Descriptor> {
    let wanted = platform(architecture);
    let mut entries = index.manifests.iter();
    entries.find(|found| found.platform.as_ref() == Some(&wanted))
}

/// Adds `manifest` to `index`, replacing the entry of the same architecture. Other
/// entries keep their order.
#[must_use]
pub fn with_entry(index: Option<&Index>, manifest: &Descriptor, architecture: &str) -> Index {
    let entry = Descriptor {
        platform: Some(platform(architecture)),
        annotations: BTreeMap::new(),
        ..manifest.clone()
    };
    let mut index = index.cloned().unwrap_or_else(Index::empty);
    let mut entries = index.manifests.iter_mut();
    match entries.find(|found| found.platform == entry.platform) {
        Some(old) => *old = entry,
        None => index.manifests.push(entry),
    }
    index
}

/// The layer for a file of a package.
#[must_use]
pub fn layer(dialect: Dialect, path: &str, mut file: Descriptor) -> Descriptor {
    file.media_type = dialect.layer_media_type().to_owned();
    file.annotations = BTreeMap::from([(TITLE.to_owned(), path.to_owned())]);
    file
}

/// The annotations of a manifest; `created` is RFC 3339, in UTC.
#[must_use]
pub fn annotations(metadata: &Metadata, created: &str) -> BTreeMap<String, String> {
    let mut all = metadata.annotations.clone();
    let mut put = |key: &str, value: &str| {
        let key = format!("org.opencontainers.image.{key}");
        all.insert(key, value.to_owned());
    };
    put("title", &metadata.name);
    put("description", &metadata.description);
    put("created", created);
    for (key, value) in [
        ("url", &metadata.url),
        ("authors", &metadata.authors),
        ("documentation", &metadata.documentation),
        ("source", &metadata.source),
        ("vendor", &metadata.vendor),
    ] {
        if !value.is_empty() {
            put(key, value);
        }
    }
    all
}

/// The configuration of a package for `architecture`.
///
/// # Errors
///
/// JSON encoding failed, which no value should cause.
pub fn config(
    architecture: &str,
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Config<'a> {
        architecture: &'a str,
        oci_version: &'static str,
        annotations: BTreeMap<&'a String, &'a String>,
    }
    let created = "org.opencontainers.image.created";
    go_json(&Config {
        architecture,
        oci_version: "1.1.0",
        annotations: annotations
            .iter()
            .filter(|(key, _)| *key != created)
            .collect(),
    })
}

/// The manifest of a package.
///
/// # Errors
///
/// As [`config`].
pub fn manifest(
    config: Descriptor,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
) -> Result<Vec<u8>, serde_json::Error> {
    go_json(&Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations,
    })
}

/// Removes the files `without` from the manifest `bytes` of a package and adds
/// `files`.
///
/// # Errors
///
/// `bytes` is not a manifest.
pub fn with_files(
    bytes: &[u8],
    dialect: Dialect,
    without: &[&str],
    files: impl IntoIterator<Item = (String, Descriptor)>,
) -> Result<Vec<u8>, serde_json::Error> {
    let found: Manifest = serde_json::from_slice(bytes)?;
    let mut layers = found.layers;
    layers.retain(|layer| title(layer).is_none_or(|name| !without.contains(&name)));
    for (path, file) in files {
        layers.retain(|layer| title(layer) != Some(&path));
        layers.push(layer(dialect, &path, file));
    }
    layers.sort_by(|a, b| (a.digest, title(a)).cmp(&(b.digest, title(b))));
    manifest(found.config, layers, found.annotations)
}

/// Compact JSON with the escapes of Go's encoder. The escaped characters can only
/// occur in strings.
fn go_json(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = serde_json::to_string(value)?;
    for (plain, escaped) in [
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ] {
        if text.contains(plain) {
            text = text.replace(plain, escaped);
        }
    }
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_equal_those_of_gos_encoder() {
        let metadata = Metadata {
            name: "demo".into(),
            description: "a <b> & c".into(),
            vendor: "v".into(),
            ..Metadata::default()
        };
        let annotations = annotations(&metadata, "2024-01-02T03:04:05Z");
        let config = config("skeleton", &annotations).unwrap();
        let expected = r#"{"architecture":"skeleton","ociVersion":"1.1.0","annotations":{"org.opencontainers.image.description":"a \u003cb\u003e \u0026 c","org.opencontainers.image.title":"demo","org.opencontainers.image.vendor":"v"}}"#;
        assert_eq!(String::from_utf8(config.clone()).unwrap(), expected);
        let dialect = Dialect::Jackal;
        let file = layer(dialect, "jackal.yaml", Descriptor::of("", b"x"));
        let described = Descriptor::of(dialect.config_media_type(), &config);
        let bytes = manifest(described, vec![file], annotations).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with(r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.jackal.config.v1+json","digest":"sha256:"#), "{text}");
        assert!(text.contains(r#""layers":[{"mediaType":"application/vnd.jackal.layer.v1.blob","digest":"sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881","size":1,"annotations":{"org.opencontainers.image.title":"jackal.yaml"}}],"annotations":{"org.opencontainers.image.created":"2024-01-02T03:04:05Z","#), "{text}");
    }
}
