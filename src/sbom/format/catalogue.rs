//! Reads syft-JSON: jackal's own documents, and those of syft and Zarf of any schema
//! since 2021.
//!
//! Keeps what other formats have a place for. What is missing is empty, and a licence or a
//! CPE may be a text, as it was before schemas 9 and 15.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::sbom::purl::purl;

/// The type of an artifact that stands for a whole image, in a document of several.
pub const IMAGE: &str = "image";

/// The same for the files of a component.
pub const COMPONENT: &str = "component";

/// The type of a source that is a whole package.
pub const PACKAGE: &str = "package";

/// What stands for a version that nothing states, as in documents of syft.
pub const UNKNOWN: &str = "UNKNOWN";

/// A document.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Catalogue {
    pub artifacts: Vec<Artifact>,
    #[serde(default, rename = "artifactRelationships")]
    pub relationships: Vec<Edge>,
    #[serde(default)]
    pub source: Source,
    #[serde(default)]
    pub distro: Map<String, Value>,
    #[serde(default, deserialize_with = "or_empty")]
    pub files: Vec<File>,
}

/// A package.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Artifact {
    pub id: String,
    pub name: String,
    pub version: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "foundBy")]
    pub found_by: String,
    #[serde(deserialize_with = "or_empty")]
    pub locations: Vec<Place>,
    #[serde(deserialize_with = "or_empty")]
    pub licenses: Vec<Licence>,
    pub language: String,
    #[serde(deserialize_with = "or_empty")]
    pub cpes: Vec<Cpe>,
    pub purl: String,
    #[serde(rename = "metadataType")]
    pub metadata_type: String,
    pub metadata: Value,
}

/// A file that is evidence for a package.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Place {
    pub path: String,
    #[serde(rename = "layerID")]
    pub layer: String,
}

/// A file that belongs to a package, or is evidence for one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct File {
    pub id: String,
    pub location: Place,
    #[serde(deserialize_with = "or_default")]
    pub metadata: FileFacts,
    #[serde(deserialize_with = "or_empty")]
    pub digests: Vec<Checksum>,
}

/// What is known of a file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FileFacts {
    #[serde(rename = "mimeType")]
    pub media: String,
}

/// A digest by any algorithm.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Checksum {
    pub algorithm: String,
    pub value: String,
}

/// Who supplies a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Supplier {
    /// Not a person.
    pub organization: bool,
    pub name: String,
    /// Empty if it is not known.
    pub mail: String,
}

/// A licence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Licence {
    /// As it is written.
    pub value: String,
    /// The SPDX id or expression; empty if it is neither.
    pub spdx: String,
    /// Whether it was found by its text; otherwise, a package states it.
    pub concluded: bool,
}

/// A name in the Common Platform Enumeration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpe(pub String);

/// A relation between two ids.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Edge {
    pub parent: String,
    pub child: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// What was scanned.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Source {
    pub id: String,
    pub name: String,
    pub version: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub supplier: String,
    pub metadata: Value,
    /// Where schemas before 9 have `metadata`.
    target: Value,
}

impl Catalogue {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// It is not syft-JSON: it has no list of artifacts, or one with other shapes.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut read: Self = serde_json::from_slice(json)?;
        let source = &mut read.source;
        if source.metadata.is_null() {
            source.metadata = std::mem::take(&mut source.target);
        }
        if source.name.is_empty() {
            let about = source.metadata.as_str();
            let about = about.or_else(|| source.metadata["userInput"].as_str());
            source.name = about.unwrap_or_default().to_owned();
        }
        Ok(read)
    }
}

impl Source {
    /// What a document of a whole package is about.
    #[must_use]
    pub fn of_package(name: &str, version: &str, vendor: &str) -> Self {
        Self {
            id: PACKAGE.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            kind: PACKAGE.to_owned(),
            supplier: vendor.to_owned(),
            ..Self::default()
        }
    }

    /// Never empty.
    #[must_use]
    pub fn title(&self) -> &str {
        match self.name.as_str() {
            "" => "unknown",
            name => name,
        }
    }

    /// The package URL of an image.
    #[must_use]
    pub fn purl(&self) -> Option<String> {
        let digest = self.metadata["manifestDigest"].as_str()?;
        let name = self.name.rsplit('/').next().unwrap_or_default();
        let tag = self.metadata["tags"][0].as_str();
        let tag = tag.and_then(|tag| tag.rsplit_once(':'));
        let qualifiers = [
            ("arch", text(&self.metadata["architecture"])),
            ("repository_url", self.name.as_str()),
            ("tag", tag.map_or("", |(_, tag)| tag)),
        ];
        // The specification of this type has the colon encoded.
        let purl = purl("oci", "", name, digest, &qualifiers);
        Some(purl.replacen("sha256:", "sha256%3A", 1))
    }
}

impl Artifact {
    /// Whether it stands for all of an image or a component.
    #[must_use]
    pub fn is_subject(&self) -> bool {
        [IMAGE, COMPONENT].contains(&self.kind.as_str())
    }

    /// A link of its metadata. Readers refuse a document with any other text in its place.
    #[must_use]
    pub fn link(&self, key: &str) -> Option<&str> {
        Some(self.fact(key)).filter(|text| is_link(text))
    }

    /// Who supplies it, by what its metadata says.
    #[must_use]
    pub fn supplier(&self) -> Option<Supplier> {
        let organization = ["vendor", "companyName"].map(|key| self.fact(key));
        if let Some(name) = organization.into_iter().find(|name| !name.is_empty()) {
            return Some(Supplier {
                organization: true,
                name: name.to_owned(),
                mail: String::new(),
            });
        }
        let person = ["maintainer", "author", "authorEmail"].map(|key| self.fact(key));
        let first = &self.metadata["authors"][0];
        let first = first.as_str().or(first["name"].as_str());
        let name = person.into_iter().find(|name| !name.is_empty()).or(first)?;
        let name = name.lines().next().unwrap_or_default().trim();
        // Authors of npm, contributors and maintainers are one text.
        let name = match self.kind.as_str() {
            "npm" => name.split(", ").next().unwrap_or_default(),
            _ => name,
        };
        let (name, mail) = match name.split_once('<') {
            Some((name, mail)) => (name.trim(), mail.split('>').next().unwrap_or_default()),
            None => (name, ""),
        };
        let (name, mail) = match name {
            "" => (mail, ""),
            name => (name, mail),
        };
        (!name.is_empty()).then(|| Supplier {
            organization: false,
            name: name.to_owned(),
            mail: mail.to_owned(),
        })
    }

    /// A text of its metadata; empty if there is none.
    #[must_use]
    pub fn fact(&self, key: &str) -> &str {
        self.metadata[key].as_str().unwrap_or_default()
    }
}

/// Whether a text is the URL of a page, by RFC 3986 without its rarer forms.
fn is_link(text: &str) -> bool {
    let rest = text.strip_prefix("https://");
    let Some(rest) = rest.or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    let (host, port) = host.split_once(':').unwrap_or((host, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut escapes = tail.split('%').skip(1);
    let is_escape = |part: &str| {
        let digits = part.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    !host.is_empty()
        && host.bytes().all(plain)
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && tail
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"<>\"{}|\\^`[]".contains(&byte))
        && tail.matches('#').count() <= 1
        && escapes.all(is_escape)
}

/// The version, or what stands for none.
#[must_use]
pub fn known(version: &str) -> &str {
    match version {
        "" => UNKNOWN,
        version => version,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `null` counts as nothing known.
fn or_default<'de, D: Deserializer<'de>>(from: D) -> Result<FileFacts, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// `null` counts as empty.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl<'de> Deserialize<'de> for Licence {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Facts {
                #[serde(default)]
                value: String,
                #[serde(default, rename = "spdxExpression")]
                spdx: String,
                #[serde(default, rename = "type")]
                kind: String,
            },
        }
        Ok(match Written::deserialize(from)? {
            Written::Text(value) => Self {
                value,
                ..Self::default()
            },
            Written::Facts { value, spdx, kind } => Self {
                value,
                spdx,
                concluded: kind == "concluded",
            },
        })
    }
}

impl<'de> Deserialize<'de> for Cpe {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Facts { cpe: String },
        }
        let (Written::Text(cpe) | Written::Facts { cpe }) = Written::deserialize(from)?;
        Ok(Self(cpe))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_what_every_reader_accepts() {
        for (text, expected) in [
            ("https://a.example", true),
            ("http://a.example:80/b%20c?d=e#f", true),
            ("http://[", false),
            ("http://", false),
            ("https://a b", false),
            ("https://a.example/%zz", false),
            ("https://a.example:x/", false),
            ("https://a.example/#a#b", false),
            ("https://a.example/é", false),
            ("git://a.example", false),
        ] {
            assert_eq!(is_link(text), expected, "{text}");
        }
    }

    #[test]
    fn the_supplier_is_one_person() {
        let of = |kind: &str, author: &str| {
            let artifact =
                serde_json::json!({"id": "1", "type": kind, "metadata": {"author": author}});
            let catalogue = serde_json::json!({"artifacts": [artifact]}).to_string();
            let catalogue = Catalogue::read(catalogue.as_bytes()).unwrap();
            let supplier = catalogue.artifacts[0].supplier().unwrap();
            (supplier.name, supplier.mail)
        };
        let pair = |name: &str, mail: &str| (name.to_owned(), mail.to_owned());
        assert_eq!(of("npm", "A, B <b@c>"), pair("A", ""));
        assert_eq!(of("npm", "A <a@b> (u), B <b@c>"), pair("A", "a@b"));
        assert_eq!(of("gem", "NARUSE, Yui <n@y>"), pair("NARUSE, Yui", "n@y"));
    }

    #[test]
    fn documents_of_new_and_old_schemas_are_read() {
        let new = br#"{
            "artifacts": [{"id": "1", "name": "a", "version": "1", "type": "npm",
                "licenses": [{"value": "mit", "spdxExpression": "MIT", "type": "concluded"}],
                "cpes": [{"cpe": "cpe:2.3:a:a:a:1:*:*:*:*:*:*:*", "source": "x"}],
                "locations": [{"path": "/p", "layerID": "sha256:0"}]}],
            "artifactRelationships": [{"parent": "1", "child": "2", "type": "contains"}],
            "source": {"type": "image", "metadata": {"userInput": "a:1"}}
        }"#;
        let new = Catalogue::read(new).unwrap();
        assert!(new.artifacts[0].licenses[0].concluded);
        assert_eq!(new.artifacts[0].cpes[0].0, "cpe:2.3:a:a:a:1:*:*:*:*:*:*:*");
        assert_eq!(new.source.name, "a:1");
        let old = br#"{
            "artifacts": [{"name": "a", "licenses": ["MIT"], "cpes": ["cpe:2.3:a"], "locations": null}],
            "source": {"type": "directory", "target": "/src"}
        }"#;
        let old = Catalogue::read(old).unwrap();
        assert_eq!(old.artifacts[0].licenses[0].value, "MIT");
        assert_eq!(old.source.name, "/src");
        assert!(Catalogue::read(b"{}").is_err());
    }
}
