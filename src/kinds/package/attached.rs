//! What a package holds beside its components: its values, their schema, and its
//! documentation.
//!
//! Source: docs/spec/package.md, "Values and documentation".

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use crate::action::{Output, fields};
use crate::cas::Cas;
use crate::disk;
use crate::ground::folders::Folders;
use crate::ground::inputs::Inputs;
use crate::ground::reads::CheckoutReads;
use crate::ground::site::Site;
use crate::ground::{Class, Failure};
use crate::kinds::component::write::{ComponentError, Entries, Modes};
use crate::package::{
    Definition, Dialect, MAX_DEFINITION_BYTES, last_name, merged_schemas, merged_values,
};
use crate::workspace::Links;
use crate::yaml::SourceText;

/// Modes of the documentation, as Zarf writes them.
const MODES: Modes = Modes {
    top_file: None,
    top_folder: None,
    all: Some((0o600, FOLDER)),
};
const FOLDER: u32 = 0o700;

fields! {
    /// The sources, as the definition names them.
    pub(crate) struct Attached {
        /// Files of values; later ones override earlier ones.
        values: Vec<String> = "values",
        /// Schemas of the values; the first one counts most.
        schemas: Vec<String> = "schemas",
        /// Files of the documentation, by their keys.
        documentation: BTreeMap<String, String> = "documentation",
    }
}

impl Attached {
    pub(crate) fn of(definition: &Definition, schemas: Vec<String>) -> Self {
        Self {
            values: definition.values.files.clone(),
            schemas,
            documentation: definition.documentation.clone(),
        }
    }

    /// The files of the package that are made of the sources.
    pub(crate) fn make(&self, cas: &Cas, inputs: &Inputs) -> Result<Vec<Output>, Failure> {
        let mut made = Vec::new();
        if !self.values.is_empty() {
            let merged = merged_values(&texts(inputs, &self.values)?);
            let merged = merged.map_err(|mistakes| Failure::new(Class::Configuration, mistakes))?;
            made.push(cas.store(Dialect::VALUES, merged.as_bytes())?);
        }
        let merged = match self.schemas.as_slice() {
            [] => None,
            // As it is, with its comments and its order.
            [one] => {
                let texts = texts(inputs, std::slice::from_ref(one))?;
                let checked = merged_schemas(&texts);
                checked.map_err(|message| Failure::new(Class::Configuration, message))?;
                texts.into_iter().next().map(|one| one.text.to_string())
            }
            several => {
                let merged = merged_schemas(&texts(inputs, several)?);
                Some(merged.map_err(|message| Failure::new(Class::Configuration, message))?)
            }
        };
        if let Some(merged) = merged {
            made.push(cas.store(Dialect::VALUES_SCHEMA, merged.as_bytes())?);
        }
        if !self.documentation.is_empty() {
            made.push(self.documentation(cas, inputs)?);
        }
        Ok(made)
    }

    fn documentation(&self, cas: &Cas, inputs: &Inputs) -> Result<Output, ComponentError> {
        let mut entries = Entries::new(cas.ingest()?);
        entries.tar.directory(".", FOLDER)?;
        for (name, source) in documentation_files(&self.documentation)? {
            entries.source(inputs, source, &name, MODES, |_| Ok(()))?;
        }
        Ok(entries.finish()?.output(Dialect::DOCUMENTATION)?)
    }
}

/// The sources, each once.
fn sources<'d>(definition: &'d Definition, schemas: &'d [String]) -> BTreeSet<&'d String> {
    definition.attached().chain(schemas).collect()
}

pub(super) fn reads(
    definition: &Definition,
    schemas: &[String],
    folders: &Folders,
) -> CheckoutReads {
    let mut reads = CheckoutReads::nothing();
    for source in sources(definition, schemas) {
        reads.add_source(folders, source);
    }
    reads
}

/// Adds the sources to the inputs of the package.
pub(crate) fn add(
    (definition, schemas): (&Definition, &[String]),
    site: &Site,
    folders: &Folders,
    inputs: &mut Inputs,
) -> Result<(), Failure> {
    for source in sources(definition, schemas) {
        if source.contains("://") {
            let message = format!(
                "`{source}` is not downloaded: copy it into the package folder and refer to it there"
            );
            return Err(Failure::new(Class::Configuration, message));
        }
        inputs.source(site, folders, source, Links::Packed)?;
    }
    Ok(())
}

/// The names of documentation files in their tar: their own, and where two are the same, with
/// the keys before them.
fn documentation_files(
    files: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, &String>, ComponentError> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for source in files.values() {
        *count
            .entry(last_name(source).unwrap_or(source))
            .or_default() += 1;
    }
    let mut named = BTreeMap::new();
    for (key, source) in files {
        let own = last_name(source).unwrap_or(source);
        let name = match count.get(own) {
            Some(1) => own.to_owned(),
            _ => format!("{key}-{own}"),
        };
        if named.contains_key(&name) || name.contains('/') {
            return Err(ComponentError::Place(name));
        }
        named.insert(name, source);
    }
    Ok(named)
}

fn texts(inputs: &Inputs, sources: &[String]) -> Result<Vec<SourceText>, Failure> {
    let texts = sources.iter();
    texts
        .map(|source| Ok(SourceText::new(source.clone(), text(inputs, source)?)))
        .collect()
}

/// The text of one file.
fn text(inputs: &Inputs, source: &str) -> Result<String, Failure> {
    let mut text = Vec::new();
    let read = inputs.open(source).and_then(|content| {
        content
            .take(MAX_DEFINITION_BYTES + 1)
            .read_to_end(&mut text)
    });
    let read = read.map_err(disk::at(Path::new(source)));
    read.map_err(ComponentError::from)?;
    if text.len() as u64 > MAX_DEFINITION_BYTES {
        let message = format!(
            "`{source}` is larger than {} MiB: split it, or keep less in it",
            MAX_DEFINITION_BYTES >> 20
        );
        return Err(Failure::new(Class::Configuration, message));
    }
    String::from_utf8(text).map_err(|_| {
        let message = format!("`{source}` is not UTF-8: save it as UTF-8");
        Failure::new(Class::Configuration, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_files_have_names_of_their_own() {
        let files = |files: &[(&str, &str)]| {
            let files = files.iter();
            files
                .map(|(key, path)| ((*key).to_owned(), (*path).to_owned()))
                .collect()
        };
        let all = files(&[("a", "x/README.md"), ("b", "y/README.md"), ("c", "LICENSE")]);
        let named = documentation_files(&all).unwrap();
        let names: Vec<&String> = named.keys().collect();
        assert_eq!(names, ["LICENSE", "a-README.md", "b-README.md"]);
        for taken in [
            files(&[("a", "x/R"), ("b", "y/R"), ("c", "z/a-R")]),
            files(&[("../a", "x/R"), ("b", "y/R")]),
        ] {
            assert!(documentation_files(&taken).is_err());
        }
    }
}
