//! Any bytes as a key file: containers, plain keys, public keys, plain signatures.
//! Nothing panics, and no signature passes.
#![no_main]

use jackal::signing::{PublicKey, SigningKey, import, read_signature_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What asks for work is refused before it is done; what is well-formed
    // costs half a second each, so it is left to the unit tests.
    if !bytes.windows(6).any(|window| window == b"scrypt") {
        let _ = SigningKey::open(bytes, b"password");
    }
    let _ = import(bytes);
    let _ = read_signature_file(bytes);
    if let Ok(key) = PublicKey::parse(bytes) {
        assert!(key.verify(b"message", bytes).is_err());
        assert_eq!(PublicKey::parse(key.to_pem().as_bytes()).unwrap(), key);
    }
});
