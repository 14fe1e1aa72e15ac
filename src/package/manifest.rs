//! A package as an OCI artifact: its configuration and its manifest.
//!
//! Source: package.md 4.2 and 4.3. The bytes are those that Go programs write,
//! which decode and encode manifests on the way and expect the same digest.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Dialect, Metadata};
use crate::oci::{Descriptor, Manifest, media_type};

/// Where a file stands in a package.
const TITLE: &str = "org.opencontainers.image.title";

/// The system that an index names for packages.
pub const MULTI: &str = "multi";

/// A file of a package as a layer.
#[must_use]
pub fn layer(dialect: Dialect, path: &str, mut file: Descriptor) -> Descriptor {
    file.media_type = dialect.layer_media_type().to_owned();
    file.annotations = BTreeMap::from([(TITLE.to_owned(), path.to_owned())]);
    file
}

/// What a manifest says of the package; `created` is RFC 3339, in UTC.
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
/// JSON cannot be made of it; no value in question leads there.
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

/// Compact JSON with the escapes of Go's encoder: the characters stand nowhere
/// but in strings.
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
    fn the_bytes_are_those_of_gos_encoder() {
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
