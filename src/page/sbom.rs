//! The SBOMs of a package as one page: its documents are read one after the other, and
//! each of their packages is written before the next is read.

mod read;

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};

use serde::Serialize;
use serde_json::json;

use self::read::Reading;
use super::{Open, Page};

const PAGE: Page = Page {
    style: include_str!("sbom/style.css"),
    body: include_str!("sbom/body.html"),
    script: include_str!("sbom/script.js"),
};

/// The file name of the page of a package in `sboms.tar`: it begins as Zarf's own do,
/// which its `inspect --sbom` looks for.
#[must_use]
pub fn file_name(package: &str) -> String {
    let kept = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
        _ => '_',
    };
    format!(
        "sbom-viewer-{}.html",
        package.chars().map(kept).collect::<String>()
    )
}

/// Another package, and the packages that changed since.
pub type Since<'c> = (&'c str, Box<dyn Iterator<Item = Changed<'c>> + 'c>);

/// What a page calls a package.
#[must_use]
pub fn title(package: &str, version: &str) -> String {
    format!("{package} {version}").trim_end().to_owned()
}

/// A software package that differs between two packages.
#[derive(Clone, Debug, Serialize)]
pub struct Changed<'c> {
    pub document: &'c str,
    #[serde(rename = "type")]
    pub kind: &'c str,
    pub name: &'c str,
    pub from: Vec<&'c str>,
    pub to: Vec<&'c str>,
}

/// A page that is being written.
pub struct Viewer<W: Write> {
    page: Open<W>,
    layers: Layers,
    comma: &'static str,
}

/// Maximum number of layers that are told apart.
const MAX_LAYERS: usize = 50_000;

/// Longest text of a document that is shown, in bytes.
const MAX_TEXT: usize = 4096;

/// The layers of all documents: rows refer to them by place.
#[derive(Default)]
struct Layers(HashMap<String, usize>);

impl Layers {
    /// The place of a layer; `None`: there are too many.
    fn place(&mut self, layer: &str) -> Option<usize> {
        if let Some(place) = self.0.get(layer) {
            return Some(*place);
        }
        let place = self.0.len();
        (place < MAX_LAYERS && layer.len() <= MAX_TEXT).then(|| {
            self.0.insert(layer.to_owned(), place);
            place
        })
    }
}

impl<W: Write> Viewer<W> {
    /// Begins a page, with what changed since another package.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn begin(out: W, title: &str, changes: Option<Since<'_>>) -> io::Result<Self> {
        let mut page = PAGE.begin(out)?;
        let program = format!("jackal {}", env!("CARGO_PKG_VERSION"));
        write!(
            page,
            "{{\"title\":{},\"program\":{}",
            json!(title),
            json!(program)
        )?;
        if let Some((since, changes)) = changes {
            write!(page, ",\"since\":{},\"changes\":[", json!(since))?;
            let mut comma = "";
            for change in changes {
                page.write_all(comma.as_bytes())?;
                serde_json::to_writer(&mut page, &change)?;
                comma = ",";
            }
            page.write_all(b"]")?;
        }
        page.write_all(b",\"documents\":[")?;
        Ok(Self {
            page,
            layers: Layers::default(),
            comma: "",
        })
    }

    /// Adds a syft-JSON document. If it is damaged, the page says so, and shows what is
    /// before the damage.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn add(&mut self, name: &str, document: impl Read) -> io::Result<()> {
        write!(
            self.page,
            "{}\n{{\"name\":{},\"packages\":[",
            self.comma,
            json!(name)
        )?;
        self.comma = ",";
        let mut reading = Reading::new(&mut self.page, &mut self.layers);
        let input = BufReader::with_capacity(1 << 17, document);
        let damage = reading.document(input)?;
        let end = reading.end();
        write!(
            self.page,
            "],{}",
            end.trim_start_matches('{').trim_end_matches('}')
        )?;
        if let Some(damage) = damage {
            write!(self.page, ",\"damage\":{}", json!(damage))?;
        }
        self.page.write_all(b"}")
    }

    /// Ends the page.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn end(mut self) -> io::Result<W> {
        let mut layers: Vec<(String, usize)> = self.layers.0.into_iter().collect();
        layers.sort_by_key(|(_, place)| *place);
        let layers: Vec<String> = layers.into_iter().map(|(layer, _)| layer).collect();
        write!(self.page, "],\"layers\":{}}}", json!(layers))?;
        self.page.end()
    }
}

/// The beginning of a text of a document.
fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::page::tests::data;

    fn page(documents: &[(&str, &str)]) -> (String, Value) {
        let mut viewer = Viewer::begin(Vec::new(), "p", None).unwrap();
        for (name, json) in documents {
            viewer.add(name, json.as_bytes()).unwrap();
        }
        let page = String::from_utf8(viewer.end().unwrap()).unwrap();
        let data = data(&page);
        (page, data)
    }

    const DOCUMENT: &str = r#"{
        "artifacts": [{"name": "</script><b>", "version": "1", "type": "deb",
            "licenses": [{"value": "x", "spdxExpression": "MIT"}, {"value": "odd"}, "ISC"],
            "locations": [{"path": "/b", "layerID": "sha256:b"},
                {"path": "/a", "layerID": "sha256:a", "annotations": {"evidence": "primary"}}],
            "purl": "pkg:deb/x", "language": "", "foundBy": "dpkg", "new": [{}],
            "metadata": {"files": [{"path": "/x"}], "description": "d", "installedSize": 5}}],
        "files": [{"location": {"path": "/w"}}, {"location": {"path": "/u"}, "unknowns": ["bad"]}],
        "source": {"type": "image", "name": "r.io/a", "version": "1",
            "metadata": {"layers": [{"digest": "sha256:a"}, {"digest": "sha256:b"}]}},
        "distro": {"prettyName": "Debian"}}"#;

    #[test]
    fn what_a_document_lists_is_in_the_page() {
        let (page, data) = page(&[("one", DOCUMENT), ("two", r#"{"artifacts":[]}"#)]);
        assert_eq!(page.matches("</script>").count(), 2, "{page}");
        let one = &data["documents"][0];
        let row = json!([
            "</script><b>", "1", "deb", ["MIT", "odd", "ISC"], [["/a", 0], ["/b", 1]], "pkg:deb/x",
            {"foundBy": "dpkg", "description": "d", "installedSize": "5"}
        ]);
        assert_eq!(one["packages"], json!([row]));
        assert_eq!(one["unread"], json!([["/u", "bad"]]));
        assert_eq!(one["source"], json!(["image", "r.io/a", "1"]));
        assert_eq!(one["distro"], "Debian");
        assert_eq!(one["order"], json!([0, 1]));
        assert_eq!(one.get("damage"), None);
        assert_eq!(data["documents"][1]["packages"], json!([]));
        assert_eq!(data["layers"], json!(["sha256:a", "sha256:b"]));
    }

    #[test]
    fn damaged_and_hostile_documents_do_not_spoil_the_page() {
        let long = format!(
            r#"{{"artifacts":[{{"name":"{}"}},{{"name":[]}},{{"name":"after"}}]}}"#,
            "é".repeat(9000)
        );
        let deep = format!("{{\"artifacts\":[{{\"metadata\":{}", "[".repeat(100_000));
        let (_, data) = page(&[
            (
                "cut",
                &DOCUMENT[..DOCUMENT.find("\"files\": [{\"loc").unwrap()],
            ),
            ("long", &long),
            ("deep", &deep),
            ("empty", ""),
            ("list", "[]"),
            ("no list", "{}"),
            (
                "odd shapes",
                r#"{"artifacts":[{"locations":null,"licenses":null,"metadata":-1.5}],
                    "source":3,"distro":[],"files":[]}"#,
            ),
            ("fine", DOCUMENT),
        ]);
        let documents = data["documents"].as_array().unwrap();
        assert_eq!(documents[0]["packages"].as_array().unwrap().len(), 1);
        assert_eq!(documents[1]["packages"].as_array().unwrap().len(), 1);
        let name = documents[1]["packages"][0][0].as_str().unwrap();
        assert!(name.len() <= MAX_TEXT && name.len() > MAX_TEXT - 2);
        for damaged in &documents[..6] {
            assert!(damaged["damage"].is_string(), "{damaged}");
        }
        assert_eq!(documents[6].get("damage"), None);
        assert_eq!(documents[7]["packages"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn changes_are_in_the_page() {
        let change = Changed {
            document: "d",
            kind: "npm",
            name: "n",
            from: vec!["1"],
            to: vec![],
        };
        let changes: Since<'_> = ("old", Box::new([change].into_iter()));
        let viewer = Viewer::begin(Vec::new(), "p", Some(changes)).unwrap();
        let page = String::from_utf8(viewer.end().unwrap()).unwrap();
        let data = data(&page);
        assert_eq!(data["since"], "old");
        assert_eq!(data["changes"][0]["type"], "npm");
        assert_eq!(data["changes"][0]["from"], json!(["1"]));
    }
}
