//! One syft-JSON document, read as a stream. Keys that a page does not show are passed
//! over, and so are facts in a shape that other programs or older schemas gave them.

use std::fmt;
use std::io::{self, Read, Write};

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Value, json};

use super::{Layers, clipped};

/// Most places of one package that a page shows.
const MAX_PLACES: usize = 100;

/// Most files of a document that are listed as unreadable.
const MAX_UNREAD: usize = 10_000;

/// Facts of a package's metadata that a page shows.
const SHOWN: [&str; 3] = ["description", "maintainer", "installedSize"];

pub(super) struct Reading<'r, W> {
    out: &'r mut W,
    layers: &'r mut Layers,
    comma: &'static str,
    /// What went wrong with `out`.
    failed: Option<io::Error>,
    listed: bool,
    unread: Vec<(String, String)>,
    /// How many more there are.
    unread_left: usize,
    /// Kind, name and version.
    source: [String; 3],
    /// The layers, base first.
    order: Vec<usize>,
    distro: String,
}

impl<'r, W: Write> Reading<'r, W> {
    pub(super) fn new(out: &'r mut W, layers: &'r mut Layers) -> Self {
        Self {
            out,
            layers,
            comma: "",
            failed: None,
            listed: false,
            unread: Vec::new(),
            unread_left: 0,
            source: Default::default(),
            order: Vec::new(),
            distro: String::new(),
        }
    }

    /// Writes the rows of a document; returns what is wrong with it.
    pub(super) fn document(&mut self, input: impl Read) -> io::Result<Option<String>> {
        let mut json = serde_json::Deserializer::from_reader(input);
        let read = Whole(self).deserialize(&mut json);
        let read = read.and_then(|()| json.end());
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        Ok(match read {
            Ok(()) if !self.listed => Some("it has no list of packages".to_owned()),
            Ok(()) => None,
            Err(error) if error.is_io() => return Err(error.into()),
            Err(error) => Some(clipped(&error.to_string()).to_owned()),
        })
    }

    /// What follows the rows, as members of an object.
    pub(super) fn end(self) -> String {
        json!({
            "source": self.source,
            "distro": self.distro,
            "order": self.order,
            "unread": self.unread,
            "unreadLeft": self.unread_left,
        })
        .to_string()
    }

    fn row(&mut self, artifact: &Artifact) -> io::Result<()> {
        let mut places: Vec<(&str, Option<usize>)> = Vec::new();
        let primary = |place: &&Place| place.annotations.evidence == "primary";
        let first = artifact.locations.iter().filter(primary);
        let others = artifact.locations.iter().filter(|place| !primary(place));
        for place in first.chain(others).take(MAX_PLACES) {
            let layer = match place.layer.as_str() {
                "" => None,
                layer => self.layers.place(layer),
            };
            places.push((clipped(&place.path), layer));
        }
        let licences: Vec<&str> = artifact.licences.0.iter().map(String::as_str).collect();
        let mut more = Map::new();
        for (key, text) in [
            ("language", artifact.language.as_str()),
            ("foundBy", artifact.found_by.as_str()),
        ] {
            if !text.is_empty() {
                more.insert(key.to_owned(), json!(clipped(text)));
            }
        }
        for (key, text) in &artifact.metadata.0 {
            more.insert((*key).to_owned(), json!(text));
        }
        let left = artifact.locations.len().saturating_sub(MAX_PLACES);
        if left > 0 {
            more.insert("placesLeft".to_owned(), json!(left));
        }
        self.out.write_all(self.comma.as_bytes())?;
        self.comma = ",\n";
        let row = (
            clipped(&artifact.name),
            clipped(&artifact.version),
            clipped(&artifact.kind),
            licences,
            places,
            clipped(&artifact.purl),
            more,
        );
        serde_json::to_writer(&mut *self.out, &row)?;
        Ok(())
    }
}

struct Whole<'w, 'r, W>(&'w mut Reading<'r, W>);

impl<'de, W: Write> DeserializeSeed<'de> for Whole<'_, '_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, W: Write> Visitor<'de> for Whole<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a syft-JSON document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reading = self.0;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "artifacts" => {
                    reading.listed = true;
                    map.next_value_seed(Rows(reading))?;
                }
                "files" => map.next_value_seed(Files(reading))?,
                "source" => reading.take_source(&map.next_value()?),
                "distro" => {
                    let distro: Value = map.next_value()?;
                    let names = ["prettyName", "name"];
                    let mut names = names.iter().filter_map(|key| distro[key].as_str());
                    reading.distro = clipped(names.next().unwrap_or_default()).to_owned();
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<W> Reading<'_, W> {
    fn take_source(&mut self, source: &Value) {
        let text = |key: &str| clipped(source[key].as_str().unwrap_or_default()).to_owned();
        self.source = ["type", "name", "version"].map(text);
        let layers = source.pointer("/metadata/layers").and_then(Value::as_array);
        for layer in layers.into_iter().flatten() {
            let place = layer["digest"]
                .as_str()
                .map(|layer| self.layers.place(layer));
            self.order.extend(place.flatten());
        }
    }
}

/// The list of packages.
struct Rows<'w, 'r, W>(&'w mut Reading<'r, W>);

impl<'de, W: Write> DeserializeSeed<'de> for Rows<'_, '_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de, W: Write> Visitor<'de> for Rows<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of packages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(artifact) = list.next_element::<Artifact>()? {
            if let Err(error) = self.0.row(&artifact) {
                self.0.failed = Some(error);
                return Err(A::Error::custom("the page cannot be written"));
            }
        }
        Ok(())
    }
}

/// The list of files, of which only those count that could not be read.
struct Files<'w, 'r, W>(&'w mut Reading<'r, W>);

impl<'de, W> DeserializeSeed<'de> for Files<'_, '_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de, W> Visitor<'de> for Files<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(file) = list.next_element::<File>()? {
            for reason in &file.unknowns {
                if self.0.unread.len() == MAX_UNREAD {
                    self.0.unread_left += 1;
                    continue;
                }
                let texts = (clipped(&file.location.path), clipped(reason));
                let (path, reason) = (texts.0.to_owned(), texts.1.to_owned());
                self.0.unread.push((path, reason));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    location: Place,
    #[serde(default)]
    unknowns: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Place {
    path: String,
    #[serde(rename = "layerID")]
    layer: String,
    annotations: Annotations,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotations {
    evidence: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Artifact {
    name: String,
    version: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "licenses")]
    licences: Licences,
    #[serde(deserialize_with = "null_or")]
    locations: Vec<Place>,
    purl: String,
    language: String,
    #[serde(rename = "foundBy")]
    found_by: String,
    metadata: Facts,
}

/// A list, which some programs write as null if it is empty.
fn null_or<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Licences as a reader wants to see them: the expression, or else what was written.
#[derive(Default)]
struct Licences(Vec<String>);

/// Most licences of a package that a page shows.
const MAX_LICENCES: usize = 100;

impl<'de> Deserialize<'de> for Licences {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let found = Option::<Vec<Value>>::deserialize(input)?.unwrap_or_default();
        let texts = found.iter().filter_map(|licence| {
            let written = ["spdxExpression", "value"];
            let mut written = written.iter().filter_map(|key| licence[key].as_str());
            let written = written.find(|text| !text.is_empty());
            // Old schemas have texts.
            let text = written.or_else(|| licence.as_str());
            text.map(|text| clipped(text).to_owned())
        });
        Ok(Self(texts.take(MAX_LICENCES).collect()))
    }
}

/// Some of the facts that only one ecosystem has.
#[derive(Default)]
struct Facts(Vec<(&'static str, String)>);

impl<'de> Deserialize<'de> for Facts {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(FactsVisitor)
    }
}

struct FactsVisitor;

impl<'de> Visitor<'de> for FactsVisitor {
    type Value = Facts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("facts about a package")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Facts, A::Error> {
        let mut facts = Facts::default();
        while let Some(key) = map.next_key::<String>()? {
            let Some(shown) = SHOWN.into_iter().find(|shown| *shown == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let text = match map.next_value::<Value>()? {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                _ => continue,
            };
            if !text.is_empty() && facts.0.len() < SHOWN.len() {
                facts.0.push((shown, clipped(&text).to_owned()));
            }
        }
        Ok(facts)
    }

    // Other shapes have no facts.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Facts, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Facts::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Facts, E> {
        Ok(Facts::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Facts, E> {
        Ok(Facts::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Facts, E> {
        Ok(Facts::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Facts, E> {
        Ok(Facts::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Facts, E> {
        Ok(Facts::default())
    }

    fn visit_unit<E>(self) -> Result<Facts, E> {
        Ok(Facts::default())
    }
}
