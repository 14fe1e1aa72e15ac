//! SPDX 3.0.1 as JSON-LD, of one syft-JSON document: the core, software and simple
//! licensing profiles.
//!
//! Source: SPDX 3.0.1, "Core", "Software", "SimpleLicensing", and its JSON schema. Output
//! depends on the input only.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde_json::{Value, json};

use super::catalogue::{Artifact, COMPONENT, Catalogue, IMAGE, PACKAGE, Supplier, known};
use super::{Production, uuid};

const CONTEXT: &str = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld";
/// The one creation that all elements share.
const CREATION: &str = "_:creation";

/// Writes elements as they are made.
struct Graph<'o, W: Write> {
    out: &'o mut W,
    base: String,
    /// Number of relationships so far.
    edges: usize,
    first: bool,
}

impl<W: Write> Graph<'_, W> {
    fn name(&self, of: &str) -> String {
        format!("{}#{of}", self.base)
    }

    /// Writes an element of the type `kind` called `id`.
    fn element(&mut self, kind: &str, id: &str, mut facts: Value) -> io::Result<()> {
        facts["type"] = json!(kind);
        facts["spdxId"] = json!(id);
        facts["creationInfo"] = json!(CREATION);
        self.raw(&facts)
    }

    fn raw(&mut self, element: &Value) -> io::Result<()> {
        if !std::mem::replace(&mut self.first, false) {
            self.out.write_all(b",")?;
        }
        serde_json::to_writer(&mut *self.out, element)?;
        Ok(())
    }

    fn edge(&mut self, from: &str, kind: &str, to: &[String]) -> io::Result<()> {
        if to.is_empty() {
            return Ok(());
        }
        let id = self.name(&format!("Relationship-{}", self.edges));
        self.edges += 1;
        let facts = json!({"from": from, "relationshipType": kind, "to": to});
        self.element("Relationship", &id, facts)
    }
}

/// Writes the document of `catalogue`, one element after the other.
///
/// # Errors
///
/// Those of `out`.
pub fn write(
    catalogue: &Catalogue,
    production: &Production<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    write!(out, "{{\"@context\":{},\"@graph\":[", json!(CONTEXT))?;
    let mut graph = Graph {
        out,
        base: format!("urn:uuid:{}", uuid(catalogue, production, "SPDX-3.0")),
        edges: 0,
        first: true,
    };
    let (agent, tool) = (graph.name("Agent"), graph.name("Tool"));
    let (document, sbom) = (graph.name("Document"), graph.name("SBOM"));
    let root = graph.name("Root");
    graph.raw(&json!({
        "type": "CreationInfo",
        "@id": CREATION,
        "specVersion": "3.0.1",
        "created": production.created,
        "createdBy": [agent],
        "createdUsing": [tool],
    }))?;
    graph.element("SoftwareAgent", &agent, json!({"name": production.tool}))?;
    let named = format!("{}-{}", production.tool, production.version);
    graph.element("Tool", &tool, json!({"name": named}))?;
    let profiles = ["core", "software", "simpleLicensing"];
    let title = catalogue.source.title();
    graph.element(
        "SpdxDocument",
        &document,
        json!({"name": title, "profileConformance": profiles, "rootElement": [sbom]}),
    )?;
    graph.element(
        "software_Sbom",
        &sbom,
        json!({"name": title, "rootElement": [root], "software_sbomType": ["analyzed"]}),
    )?;
    let source = &catalogue.source;
    let mut suppliers = Suppliers::default();
    let supplier = Supplier {
        organization: true,
        name: source.supplier.clone(),
        mail: String::new(),
    };
    let supplier = Some(supplier).filter(|supplier| !supplier.name.is_empty());
    let mut about = json!({
        "name": title,
        "software_primaryPurpose": purpose(&source.kind).unwrap_or("other"),
        "software_packageVersion": known(&source.version),
        "suppliedBy": suppliers.id(supplier, &graph),
    });
    if let Some(purl) = source.purl() {
        about["software_packageUrl"] = json!(purl);
    }
    graph.element("software_Package", &root, about)?;
    packages(catalogue, &root, &mut suppliers, &mut graph)?;
    suppliers.write(&mut graph)?;
    graph.out.write_all(b"]}")
}

fn purpose(kind: &str) -> Option<&'static str> {
    match kind {
        IMAGE => Some("container"),
        COMPONENT | "file" => Some("file"),
        PACKAGE => Some("archive"),
        _ => None,
    }
}

/// Who supplies packages; each is one element. One that is not known is said to be so, as
/// in SPDX 2.3.
#[derive(Default)]
struct Suppliers(BTreeMap<Option<Supplier>, String>);

impl Suppliers {
    fn id<W: Write>(&mut self, of: Option<Supplier>, graph: &Graph<'_, W>) -> String {
        let next = graph.name(&format!("Supplier-{}", self.0.len()));
        self.0.entry(of).or_insert(next).clone()
    }

    fn write<W: Write>(self, graph: &mut Graph<'_, W>) -> io::Result<()> {
        for (supplier, id) in self.0 {
            let Some(Supplier {
                organization,
                name,
                mail,
            }) = supplier
            else {
                graph.element("Organization", &id, json!({"name": "NOASSERTION"}))?;
                continue;
            };
            let kind = match organization {
                true => "Organization",
                false => "Person",
            };
            let mut facts = json!({"name": name});
            if !mail.is_empty() {
                facts["externalIdentifier"] = json!([{
                    "type": "ExternalIdentifier",
                    "externalIdentifierType": "email",
                    "identifier": mail,
                }]);
            }
            graph.element(kind, &id, facts)?;
        }
        Ok(())
    }
}

fn packages<W: Write>(
    catalogue: &Catalogue,
    root: &str,
    suppliers: &mut Suppliers,
    graph: &mut Graph<'_, W>,
) -> io::Result<()> {
    let ids: Vec<String> = (0..catalogue.artifacts.len())
        .map(|index| graph.name(&format!("Package-{index}")))
        .collect();
    let mut licences = BTreeMap::new();
    for (artifact, id) in catalogue.artifacts.iter().zip(&ids) {
        let supplier = suppliers.id(artifact.supplier(), graph);
        graph.element("software_Package", id, package(artifact, supplier))?;
        for (kind, concluded) in [("hasDeclaredLicense", false), ("hasConcludedLicense", true)] {
            let Some(expression) = expression(artifact, concluded) else {
                continue;
            };
            let next = graph.name(&format!("License-{}", licences.len()));
            let licence: String = licences.entry(expression).or_insert(next).clone();
            graph.edge(id, kind, &[licence])?;
        }
    }
    for (expression, id) in &licences {
        let facts = json!({"simplelicensing_licenseExpression": expression});
        graph.element("simplelicensing_LicenseExpression", id, facts)?;
    }
    let places: BTreeMap<&str, (&String, bool)> = catalogue
        .artifacts
        .iter()
        .zip(&ids)
        .map(|(artifact, id)| (artifact.id.as_str(), (id, artifact.is_subject())))
        .collect();
    let mut needs: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    let mut held: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for edge in &catalogue.relationships {
        let ends = [&edge.parent, &edge.child].map(|id| places.get(id.as_str()));
        let [Some((parent, holds)), Some((child, _))] = ends else {
            continue;
        };
        match edge.kind.as_str() {
            "dependency-of" => needs.entry(child).or_default().insert(parent),
            "contains" if *holds => held.entry(parent).or_default().insert(child),
            _ => continue,
        };
    }
    let inner: BTreeSet<&String> = held.values().flatten().copied().collect();
    let outer = ids.iter().filter(|id| !inner.contains(id));
    let outer: Vec<String> = outer.cloned().collect();
    graph.edge(root, "contains", &outer)?;
    for (kind, edges) in [("contains", held), ("dependsOn", needs)] {
        for (from, to) in edges {
            let to: Vec<String> = to.into_iter().cloned().collect();
            graph.edge(from, kind, &to)?;
        }
    }
    Ok(())
}

fn package(artifact: &Artifact, supplier: String) -> Value {
    let mut made = json!({
        "name": match artifact.name.as_str() {
            "" => "unknown",
            name => name,
        },
        "software_packageVersion": known(&artifact.version),
        "suppliedBy": supplier,
    });
    if let Some(purpose) = purpose(&artifact.kind) {
        made["software_primaryPurpose"] = json!(purpose);
    }
    if !artifact.purl.is_empty() {
        made["software_packageUrl"] = json!(artifact.purl);
    }
    let cpes = artifact.cpes.iter().map(|cpe| {
        json!({
            "type": "ExternalIdentifier",
            "externalIdentifierType": "cpe23",
            "identifier": cpe.0,
        })
    });
    let cpes: Vec<Value> = cpes.collect();
    if !cpes.is_empty() {
        made["externalIdentifier"] = json!(cpes);
    }
    made
}

/// The licences of a package in one expression. Those without an SPDX id have no place in
/// it.
fn expression(artifact: &Artifact, concluded: bool) -> Option<String> {
    let found = artifact.licenses.iter();
    let found: BTreeSet<&str> = found
        .filter(|licence| licence.concluded == concluded && !licence.spdx.is_empty())
        .map(|licence| licence.spdx.as_str())
        .collect();
    let parts: Vec<String> = found
        .iter()
        .map(|one| match one.contains(' ') && found.len() > 1 {
            true => format!("({one})"),
            false => (*one).to_owned(),
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_an_element_with_its_licence_and_needs() {
        let text = json!({
            "artifacts": [
                {"id": "1", "name": "a", "version": "1", "type": "npm", "purl": "pkg:npm/a@1",
                 "licenses": [{"spdxExpression": "MIT OR ISC"}, {"spdxExpression": "Zlib"}],
                 "cpes": [{"cpe": "cpe:2.3:a:a:a:1:*:*:*:*:*:*:*"}]},
                {"id": "2", "name": "b", "type": "npm",
                 "licenses": [{"spdxExpression": "Zlib", "type": "concluded"}]},
            ],
            "artifactRelationships": [{"parent": "2", "child": "1", "type": "dependency-of"}],
            "source": {"id": "s", "name": "app", "type": "image"},
        });
        let catalogue = Catalogue::read(text.to_string().as_bytes()).unwrap();
        let production = Production {
            tool: "jackal",
            version: "1",
            created: "1970-01-01T00:00:00Z",
        };
        let mut out = Vec::new();
        write(&catalogue, &production, &mut out).unwrap();
        let made: Value = serde_json::from_slice(&out).unwrap();
        let graph = made["@graph"].as_array().unwrap();
        let of = |kind: &str| -> Vec<&Value> {
            let all = graph.iter();
            all.filter(|element| element["type"] == kind).collect()
        };
        let packages = of("software_Package");
        assert_eq!(packages.len(), 3);
        assert_eq!(packages[0]["software_primaryPurpose"], "container");
        let expressions = of("simplelicensing_LicenseExpression");
        let expressions: Vec<&Value> = expressions
            .iter()
            .map(|one| &one["simplelicensing_licenseExpression"])
            .collect();
        assert_eq!(expressions, ["(MIT OR ISC) AND Zlib", "Zlib"]);
        let edges = of("Relationship");
        let needs = edges
            .iter()
            .find(|edge| edge["relationshipType"] == "dependsOn");
        assert_eq!(needs.unwrap()["from"], packages[1]["spdxId"]);
        assert_eq!(edges.len(), 4);
    }
}
