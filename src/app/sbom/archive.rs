//! The `sboms.tar` of a package, verified and read document by document.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _};
use std::path::Path;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::app::package_read::{SBOMS, package_definition};
use crate::app::read_error::PackageReadError;
use crate::app::sbom::MAX_DOCUMENT_BYTES;
use crate::archive::TarReader;
use crate::layout::LayoutError;
use crate::package::diff::Catalogue;
use crate::page::sbom::title;
use crate::source::Opened;
use crate::verify::Scope;

/// Maximum number of entries in an SBOM archive: a hundred thousand, far more than the
/// images and components of any package.
const MAX_SBOMS: usize = 100_000;

/// Maximum memory for the packages of one side, in bytes: 48 MiB, enough for more
/// than a hundred thousand.
const MAX_LISTED_BYTES: usize = 48 << 20;

/// Memory for a package in addition to its texts, in bytes.
const LISTED_COST: usize = 200;

/// The documents of a package, in a file without a name.
pub(in crate::app) struct SbomArchive {
    file: File,
    package: String,
    title: String,
}

impl SbomArchive {
    /// Fetches and verifies them, and nothing else of the package.
    pub(in crate::app) fn fetch(opened: &Opened) -> Result<Self, PackageReadError> {
        if !opened.package.files()?.contains_key(SBOMS) {
            return Err(PackageReadError::NoSbom(opened.name.clone()));
        }
        let path = Path::new(&opened.name);
        let file = tempfile::tempfile().map_err(|source| LayoutError::Output {
            path: path.to_owned(),
            entry: SBOMS.to_owned(),
            source,
        })?;
        let evidence = opened
            .package
            .read_some(&[SBOMS.to_owned()], &mut |entry, _| {
                let out = file.try_clone().map_err(|source| LayoutError::Output {
                    path: path.to_owned(),
                    entry: entry.to_owned(),
                    source,
                })?;
                Ok(Box::new(BufWriter::with_capacity(1 << 17, out)) as Box<dyn io::Write>)
            })?;
        let verified = opened.judge(evidence, Scope::Given)?;
        let about = package_definition(&verified)?.metadata;
        Ok(Self {
            title: title(&about.name, &about.version),
            ..Self::of(file, &opened.name)
        })
    }

    pub(in crate::app) fn of(file: File, package: &str) -> Self {
        Self {
            file,
            package: package.to_owned(),
            title: package.to_owned(),
        }
    }

    /// Name and version of the package.
    pub(in crate::app) fn title(&self) -> &str {
        &self.title
    }

    /// The names of the documents, without `.json`, sorted.
    pub(in crate::app) fn names(&self) -> Result<Vec<String>, PackageReadError> {
        let mut names = Vec::new();
        self.each(&mut |name, _| {
            names.push(name.to_owned());
            Ok(())
        })?;
        names.sort();
        Ok(names)
    }

    /// Calls `visit` with the name of each document, without `.json`, and its bytes.
    pub(in crate::app) fn each(
        &self,
        visit: &mut dyn FnMut(&str, &mut dyn Read) -> io::Result<()>,
    ) -> Result<(), PackageReadError> {
        each(&self.file, visit).map_err(|(entry, error)| PackageReadError::Document {
            package: Path::new(&self.package).to_owned(),
            entry,
            what: error.to_string(),
        })
    }

    /// Every package that the documents list.
    pub(in crate::app) fn catalogue(&self) -> Result<Catalogue, PackageReadError> {
        let mut gathered = Gathered::default();
        self.each(&mut |name, input| gathered.add(name, input))?;
        Ok(gathered.finish())
    }
}

type Failed = (String, io::Error);

fn each(
    file: &File,
    visit: &mut dyn FnMut(&str, &mut dyn Read) -> io::Result<()>,
) -> Result<(), Failed> {
    let whole = |error| (SBOMS.to_owned(), error);
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut file = file.try_clone().map_err(whole)?;
    file.rewind().map_err(whole)?;
    let mut tar = TarReader::new(BufReader::with_capacity(1 << 17, file));
    while let Some(entry) = tar.next().map_err(whole)? {
        if tar.headers() as usize > MAX_SBOMS {
            let what = format!("it has more than {MAX_SBOMS} entries");
            return Err(whole(invalid(what)));
        }
        let path = entry.name_lossy();
        // The archive also contains the pages of a viewer.
        let Some(name) = path.trim_start_matches("./").strip_suffix(".json") else {
            continue;
        };
        let inside = |error| (format!("{SBOMS}: {path}"), error);
        if entry.size > MAX_DOCUMENT_BYTES {
            let what = format!("it is larger than {MAX_DOCUMENT_BYTES} bytes");
            return Err(inside(invalid(what)));
        }
        visit(name, &mut (&mut tar).take(MAX_DOCUMENT_BYTES)).map_err(inside)?;
    }
    Ok(())
}

/// The packages of several documents.
pub(super) struct Gathered {
    documents: Vec<Listing>,
    left: usize,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            documents: Vec::new(),
            left: MAX_LISTED_BYTES,
        }
    }
}

impl Gathered {
    pub(super) fn add(&mut self, name: &str, input: impl Read) -> io::Result<()> {
        let mut listing = Listing {
            name: name.to_owned(),
            left: self.left,
            ..Listing::default()
        };
        let reader = BufReader::with_capacity(1 << 17, input);
        let mut json = serde_json::Deserializer::from_reader(reader);
        (&mut listing)
            .deserialize(&mut json)
            .and_then(|()| json.end())?;
        self.left = listing.left;
        self.documents.push(listing);
        Ok(())
    }

    /// Documents of images are called like their repository, so that those of two tags
    /// are compared, unless the package has several of the same repository.
    pub(super) fn finish(self) -> Catalogue {
        let mut repositories: BTreeMap<String, usize> = BTreeMap::new();
        for document in &self.documents {
            if let Some(repository) = document.repository() {
                *repositories.entry(repository.to_owned()).or_default() += 1;
            }
        }
        let mut found = Catalogue::new();
        for document in self.documents {
            let repository = document.repository();
            let only = repository.filter(|repository| repositories.get(*repository) == Some(&1));
            let name = only.unwrap_or(&document.name).to_owned();
            for (kind, package, version) in document.packages {
                let key = (name.clone(), kind, package);
                found.entry(key).or_default().insert(version);
            }
        }
        found
    }
}

/// The compared part of a syft-JSON document, read one artifact after the other: documents
/// that list files are large.
#[derive(Default)]
struct Listing {
    name: String,
    source: Source,
    packages: Vec<(String, String, String)>,
    left: usize,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Listing {
    /// The repository of its image.
    fn repository(&self) -> Option<&str> {
        let source = &self.source;
        (source.kind == "image" && !source.name.is_empty()).then_some(&*source.name)
    }
}

impl<'de> DeserializeSeed<'de> for &mut Listing {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Listing {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a document with a list of artifacts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut listed = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "artifacts" => {
                    listed = true;
                    map.next_value_seed(&mut *self)?;
                }
                // Other shapes are of schemas that had no name.
                "source" => self.source = read_source(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match listed {
            true => Ok(()),
            false => Err(A::Error::missing_field("artifacts")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(artifact) = list.next_element::<Artifact>()? {
            let texts = [&artifact.name, &artifact.version, &artifact.kind];
            let cost = texts.iter().map(|text| text.len()).sum::<usize>();
            let cost = cost + self.name.len() + LISTED_COST;
            let left = self.left.checked_sub(cost);
            self.left = left.ok_or_else(|| A::Error::custom("it lists too many packages"))?;
            let found = (artifact.kind, artifact.name, artifact.version);
            self.packages.push(found);
        }
        Ok(())
    }
}

fn read_source(value: serde_json::Value) -> Source {
    Source::deserialize(value).unwrap_or_default()
}

#[derive(Deserialize)]
struct Artifact {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(rename = "type")]
    kind: String,
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(documents: &[(&str, &str)]) -> Result<Catalogue, String> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in documents {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_cksum();
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&builder.into_inner().unwrap()).unwrap();
        let archive = SbomArchive::of(file, "p");
        archive.catalogue().map_err(|error| error.to_string())
    }

    #[test]
    fn artifacts_are_read_one_after_the_other_within_a_limit() {
        let one = r#"{"source":{"a":[1,{}]},"artifacts":[{"name":"n","version":"1","type":"deb"},
            {"name":"n","version":"2","type":"deb","locations":[{}]}],"files":[1,2]}"#;
        let found = read(&[("./a.json", one), ("viewer.html", "<p>")]).unwrap();
        let key = ("a".to_owned(), "deb".to_owned(), "n".to_owned());
        let versions = ["1", "2"].map(str::to_owned).into();
        assert_eq!(found, [(key, versions)].into());
        for (text, part) in [
            ("{}", "missing field `artifacts`"),
            ("[]x", "trailing characters"),
            (r#"{"artifacts":[{"version":"1"}]}"#, "missing field"),
            ("3", "expected a document"),
        ] {
            let error = read(&[("a.json", text)]).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let artifact = r#"{"name":"","type":""},"#.repeat(300_000);
        let many = format!("{{\"artifacts\":[{}]}}", artifact.trim_end_matches(','));
        let error = read(&[("a.json", &many)]).unwrap_err();
        assert!(error.contains("lists too many packages"), "{error}");
    }

    #[test]
    fn documents_of_an_image_are_called_like_its_repository_if_that_is_clear() {
        let image = |repository: &str| {
            format!(
                r#"{{"artifacts":[{{"name":"n","version":"1","type":"deb"}}],
                "source":{{"type":"image","name":"{repository}"}}}}"#
            )
        };
        let one = image("r.io/app");
        let names = |documents: &[(&str, &str)]| -> Vec<String> {
            let found = read(documents).unwrap();
            found.into_keys().map(|(name, ..)| name).collect()
        };
        assert_eq!(names(&[("r.io_app_1.json", &one)]), ["r.io/app"]);
        let two = [("r.io_app_1.json", &*one), ("r.io_app_2.json", &*one)];
        assert_eq!(names(&two), ["r.io_app_1", "r.io_app_2"]);
    }
}
