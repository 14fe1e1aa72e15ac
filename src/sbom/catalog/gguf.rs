//! Models in the format GGUF: what the header says about one.
//!
//! Source: "GGUF", in the documentation of github.com/ggml-org/ggml.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Cataloguer, Finds, Found, Scope, split};
use crate::sbom::body::Body;
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::layer::Extracted;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: MODEL,
    scope: Scope::Everywhere,
    finds: Finds::InExtracts {
        lists: |_, name| name.ends_with(".gguf"),
        // A model of today has up to a terabyte; only its header is read.
        longest: 4 << 40,
        extract,
        find,
    },
};

const MODEL: Ecosystem = Ecosystem {
    kind: "model",
    language: "",
    found_by: "gguf-cataloger",
    metadata_type: "gguf-file-header",
};

/// Longest header that is read, in bytes: lists of words take ten million.
const MOST_HEADER: u64 = 64 << 20;

/// Longest name of a key, and longest value that is kept, in bytes.
const MOST_TEXT: u64 = 64 << 10;

/// Names of encodings, by the number in `general.file_type`.
const ENCODINGS: [(u64, &str); 19] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (30, "IQ4_XS"),
    (32, "BF16"),
    (25, "IQ4_NL"),
];

#[derive(Default, Serialize, Deserialize)]
struct Header {
    version: u32,
    tensors: u64,
    parameters: u64,
    texts: BTreeMap<String, String>,
    file_type: Option<u64>,
}

fn extract(_: &str, body: &mut Body<'_>) -> Extracted {
    let header = header(&mut body.take(MOST_HEADER));
    match header
        .ok()
        .and_then(|header| serde_json::to_vec(&header).ok())
    {
        Some(facts) => Extracted::Facts(facts),
        None => Extracted::Nothing,
    }
}

/// Reads a header. All counts are those of hostile input: each thing that they count takes
/// bytes of the header, of which there are few.
fn header(input: &mut impl Read) -> io::Result<Header> {
    let mut magic = [0; 4];
    input.read_exact(&mut magic)?;
    let mut made = Header {
        version: short(input)?,
        ..Header::default()
    };
    if magic != *b"GGUF" || made.version < 2 {
        return Err(damaged());
    }
    made.tensors = long(input)?;
    for _ in 0..long(input)? {
        let key = text(input)?;
        match short(input)? {
            8 => {
                let value = text(input)?;
                if KEPT.contains(&key.as_str()) {
                    made.texts.insert(key, value);
                }
            }
            9 => list(input)?,
            4 if key == "general.file_type" => made.file_type = Some(short(input)?.into()),
            kind => skip(input, size(kind)?)?,
        }
    }
    for _ in 0..made.tensors {
        text(input)?;
        let mut numbers: u64 = 1;
        let dimensions = short(input)?;
        if dimensions > 8 {
            return Err(damaged());
        }
        for _ in 0..dimensions {
            numbers = numbers.saturating_mul(long(input)?);
        }
        made.parameters = made.parameters.saturating_add(numbers);
        skip(input, 4 + 8)?;
    }
    Ok(made)
}

/// Keys whose values are texts that are kept.
const KEPT: [&str; 4] = [
    "general.architecture",
    "general.license",
    "general.name",
    "general.version",
];

fn damaged() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

fn short(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn long(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// A text; of one that is too long to be a name, nothing.
fn text(input: &mut impl Read) -> io::Result<String> {
    let length = long(input)?;
    if length > MOST_TEXT {
        skip(input, length)?;
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(read) if read == length => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        _ => Err(damaged()),
    }
}

/// Bytes of a value.
fn size(kind: u32) -> io::Result<u64> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(damaged()),
    }
}

fn list(input: &mut impl Read) -> io::Result<()> {
    let (kind, length) = (short(input)?, long(input)?);
    if kind != 8 {
        return skip(input, size(kind)?.saturating_mul(length));
    }
    for _ in 0..length {
        let length = long(input)?;
        skip(input, length)?;
    }
    Ok(())
}

fn skip(input: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut input.take(bytes), &mut io::sink())?;
    match skipped == bytes {
        true => Ok(()),
        false => Err(damaged()),
    }
}

fn find(view: &View, path: &str, extract: &[u8], found: &mut Found) {
    let Ok(header) = serde_json::from_slice::<Header>(extract) else {
        return;
    };
    let get = |key: &str| header.texts.get(key).map_or("", String::as_str);
    let file = split(path).1.trim_end_matches(".gguf");
    let name = match get("general.name") {
        "" => file,
        name => name,
    };
    let mut package = Package::new(MODEL, name, get("general.version"));
    package
        .locations
        .extend(view.location(path, Evidence::Primary));
    if !get("general.license").is_empty() {
        let license = get("general.license").to_owned();
        package.licenses.insert(License::new(license));
    }
    let mut facts = json!({
        "ggufVersion": header.version, "architecture": get("general.architecture"),
        "parameters": header.parameters, "tensorCount": header.tensors,
    });
    let encoding = ENCODINGS
        .iter()
        .find(|(number, _)| header.file_type == Some(*number));
    if let Some((_, name)) = encoding {
        facts["quantization"] = json!(name);
    }
    package.describe(&facts);
    found.push(package);
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    fn text_of(text: &str) -> Vec<u8> {
        let length = u64::try_from(text.len()).unwrap();
        [&length.to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn model(tensors: u64, pairs: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(u64::try_from(pairs.len()).unwrap().to_le_bytes());
        for (key, kind, value) in pairs {
            bytes.extend(text_of(key));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
        }
        bytes
    }

    #[test]
    fn the_header_of_a_model_is_read() {
        let words = [&8u32.to_le_bytes()[..], &1u64.to_le_bytes(), &text_of("a")].concat();
        let mut bytes = model(
            1,
            &[
                ("general.name", 8, text_of("Tiny")),
                ("general.license", 8, text_of("mit")),
                ("tokenizer.ggml.tokens", 9, words),
                ("general.file_type", 4, 2u32.to_le_bytes().to_vec()),
                ("x", 12, vec![0; 8]),
            ],
        );
        bytes.extend(text_of("t"));
        bytes.extend(
            [
                &2u32.to_le_bytes()[..],
                &8u64.to_le_bytes(),
                &4u64.to_le_bytes(),
            ]
            .concat(),
        );
        bytes.extend([0; 12]);
        let cut = bytes[..bytes.len() - 3].to_vec();
        let found = find_in(&CATALOGUER, &[("m/a.gguf", &bytes), ("m/b.gguf", &cut)]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].version.as_str()),
            ("Tiny", "UNKNOWN")
        );
        let facts = found[0].metadata.as_ref().unwrap().get();
        assert!(
            facts.contains("\"parameters\":32") && facts.contains("Q4_0"),
            "{facts}"
        );
    }

    #[test]
    fn hostile_counts_end_with_the_file() {
        let many = [&9u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
        let long = [&8u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
        let wide = [&10u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
        let files = [
            model(u64::MAX, &[]),
            model(0, &[("a", 9, many)]),
            model(0, &[("a", 9, long)]),
            model(0, &[("a", 9, wide)]),
            model(0, &[("a", 8, u64::MAX.to_le_bytes().to_vec())]),
            model(0, &[("a", 99, Vec::new())]),
            b"GGUF\x01\0\0\0".to_vec(),
            Vec::new(),
        ];
        for file in files {
            assert!(find_in(&CATALOGUER, &[("a.gguf", &file)]).is_empty());
        }
    }
}
