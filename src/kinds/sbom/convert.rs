//! Documents in other formats: each is made once of syft-JSON, and cached like a scan.

use std::io;
use std::sync::Arc;

use crate::action::{Action, Fields as _, Output, fields};
use crate::cas::Cas;
use crate::ground::form::OutputForm;
use crate::ground::inputs::Inputs;
use crate::ground::site::Made;
use crate::ground::threads::computing;
use crate::ground::{Class, Failure};
use crate::kinds::sbom::scan::put;
use crate::kinds::{Bench, Prepared};
use crate::oci::Descriptor;
use crate::package::time;
use crate::release;
use crate::sbom::format::{Catalogue, Format, Production, Source};

pub(crate) const CONVERT: &str = "sbom-format";

/// Incremented when documents change.
const CONVERT_FORMAT: u32 = 1;

fields! {
    struct ConvertSettings {
        /// The document names the version that wrote it.
        jackal: String = "jackal",
        format: String = "format",
        /// Seconds since 1970.
        created: i64 = "created",
        /// The inputs, in order.
        documents: Vec<String> = "documents",
        /// `None`: the one input in another format.
        whole: Option<Whole> = "whole",
    }

    /// The package that one document of all inputs is about.
    pub(crate) struct Whole {
        name: String = "name",
        version: String = "version",
        vendor: String = "vendor",
    }
}

impl Whole {
    pub(crate) fn new(name: &str, version: &str, vendor: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            vendor: vendor.to_owned(),
        }
    }

    fn source(&self) -> Source {
        Source::of_package(&self.name, &self.version, &self.vendor)
    }
}

/// The documents of a package in one format: `documents` have their file names as
/// syft-JSON, and those that are returned have theirs. The first one, called `whole`, is
/// about the package.
pub(crate) async fn converted(
    bench: &Bench,
    format: Format,
    created: i64,
    documents: &[Output],
    whole: (&str, Whole),
) -> Result<Vec<Output>, Failure> {
    let (name, about) = whole;
    let mut actions = vec![prepared(bench, format, created, documents, Some(about))?];
    let mut names = vec![format.file_name(name)];
    for document in documents {
        let one = std::slice::from_ref(document);
        actions.push(prepared(bench, format, created, one, None)?);
        names.push(format.file_name(&document.name));
    }
    let made = bench.nested(actions).await?;
    let made = names.into_iter().zip(made);
    Ok(made.map(|(name, made)| Output { name, ..made }).collect())
}

fn prepared(
    bench: &Bench,
    format: Format,
    created: i64,
    documents: &[Output],
    whole: Option<Whole>,
) -> Result<Prepared, Failure> {
    let mut inputs = Inputs::new(&bench.cas);
    let mut names = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        // Equal documents have equal conversions, whatever their names.
        let name = format!("document/{index}");
        inputs.blob(&name, document.digest, document.size)?;
        names.push(name);
    }
    let settings = ConvertSettings {
        jackal: env!("CARGO_PKG_VERSION").to_owned(),
        format: format.name().to_owned(),
        created,
        documents: names,
        whole,
    };
    Ok(Prepared {
        form: OutputForm::Documents,
        ..Prepared::new(CONVERT, CONVERT_FORMAT, &settings, inputs)
    })
}

/// Converts documents using only the inputs.
pub(crate) async fn convert(
    action: &Action,
    inputs: &Inputs,
    bench: &Bench,
) -> Result<Made, Failure> {
    let settings = ConvertSettings::read("", &action.settings)?;
    let format = Format::named(&settings.format);
    let format = format.ok_or_else(|| Failure::internal("an unknown format of SBOMs"))?;
    let documents = settings.documents.iter().map(|name| inputs.given(name));
    let documents = documents.collect::<Result<Vec<_>, _>>()?;
    let created = time::rfc3339(settings.created).unwrap_or_default();
    let whole = settings.whole.map(|whole| whole.source());
    // Documents are held in memory: as many at a time as there are jobs.
    let _permit = bench.turn().await;
    let cas = Arc::clone(&bench.cas);
    let output = computing(move || written(&cas, format, &created, &documents, whole)).await?;
    Ok(vec![output].into())
}

/// Stores the document of `whole`, or of the only one of `documents`.
fn written(
    cas: &Cas,
    format: Format,
    created: &str,
    documents: &[Descriptor],
    whole: Option<Source>,
) -> Result<Output, Failure> {
    release::check_together(documents)
        .map_err(|error| Failure::caused_by(Class::Configuration, &error))?;
    let mut parts = Vec::with_capacity(documents.len());
    for document in documents {
        let json = cas.document(&document.digest, document.size)?;
        let mut part = Catalogue::read(&json).map_err(|error| malformed(document, &error))?;
        if whole.is_some() {
            part.files = Vec::new();
        }
        parts.push(part);
    }
    let catalogue = match whole {
        Some(about) => Catalogue::merged(about, parts),
        None => parts
            .pop()
            .ok_or_else(|| Failure::internal("no document to convert"))?,
    };
    Ok(stored(cas, format, created, &catalogue)?)
}

/// Stores `catalogue` in a format that is not syft-JSON.
fn stored(
    cas: &Cas,
    format: Format,
    created: &str,
    catalogue: &Catalogue,
) -> Result<Output, super::scan::SbomError> {
    let production = Production::ours(created);
    put(cas, "sbom", |out| {
        format.write_catalogue(catalogue, &production, out)
    })
}

fn malformed(document: &Descriptor, error: &serde_json::Error) -> Failure {
    let error = io::Error::other(error.to_string());
    Failure::new(
        Class::Verification,
        format!("the SBOM {} is not syft-JSON: {error}", document.digest),
    )
}
