//! Any bytes as a package: read whole, in part, and verified. It is refused, or read
//! the same in every way; a spliced file is found in it.
#![no_main]

use std::io::Write as _;

use jackal::layout::{self, Spliced};
use jackal::verify::{Check, Policy, Scope, verify};
use libfuzzer_sys::fuzz_target;

#[path = "../budget.rs"]
mod budget;

fuzz_target!(|bytes: &[u8]| budget::within(bytes.len(), || read(bytes)));

fn read(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let Ok(package) = layout::open(file.path()) else {
        return;
    };
    let whole = layout::read_opened(&package);
    let part = layout::read_some(&package, &[], |_, _| Ok(std::io::sink()));
    if let (Ok(whole), Ok(part)) = (&whole, &part) {
        assert_eq!(whole.definition, part.definition);
        assert_eq!(whole.checksums, part.checksums);
    }
    let Ok(evidence) = whole else {
        return;
    };
    let names: Vec<String> = evidence.files.keys().cloned().collect();
    assert_eq!(
        names,
        package
            .members()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    );
    let judged = verify(
        evidence,
        Scope::Whole,
        &Policy::without_signers(Check::Look),
    );
    if judged.is_err() {
        // Nobody signs what is refused, such as another spelling of a signature's name.
        return;
    }
    let mut out = tempfile::NamedTempFile::new().unwrap();
    let files = [("jackal.yaml.sig".to_owned(), b"signature".to_vec())];
    let without = ["jackal.yaml.sig"];
    if let Ok(Spliced::Done) = layout::splice(&package, &without, &files, &mut out) {
        let again = layout::open(out.path()).unwrap();
        let again = layout::read_opened(&again).unwrap();
        assert_eq!(again.signature.as_deref(), Some(&b"signature"[..]));
        let mut expected = names;
        expected.retain(|name| name != "jackal.yaml.sig");
        expected.push("jackal.yaml.sig".to_owned());
        expected.sort();
        assert_eq!(again.files.keys().cloned().collect::<Vec<_>>(), expected);
    }
}
