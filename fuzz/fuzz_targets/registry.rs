//! Any bytes as the response of a registry to every request. The result is an error, or
//! content with the expected digest.
#![no_main]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use jackal::oci::{Descriptor, Digest};
use jackal::registry::{Options, Registry};
use jackal::source::{bundles_about, tagged_about};
use libfuzzer_sys::fuzz_target;

static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The address of a server that answers everything the same way.
static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else {
                continue;
            };
            let answer = ANSWER.lock().unwrap().clone();
            let _ = connection.set_read_timeout(Some(Duration::from_millis(200)));
            let mut request = [0; 4096];
            let _ = connection.read(&mut request);
            let _ = connection.write_all(&answer);
            let _ = connection.shutdown(Shutdown::Both);
        }
    });
    address
});

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
});

fuzz_target!(|bytes: &[u8]| {
    *ANSWER.lock().unwrap() = bytes.to_vec();
    let options = Options {
        retries: 0,
        ..Options::default()
    };
    let registry = Registry::new(options);
    let reference = format!("{}/a/b:1", *ADDRESS).parse().unwrap();
    let wanted = Descriptor::of("x", b"what was asked for");
    RUNTIME.block_on(async {
        let _ = registry.find(&reference).await;
        if let Ok((described, found)) = registry.resolve(&reference).await {
            assert_eq!(described.digest, Digest::of(&found));
        }
        if let Ok(content) = registry.read_blob(&reference, &wanted).await {
            assert_eq!(content, b"what was asked for");
        }
        let _ = registry.tags(&reference).await;
        let _ = bundles_about(&registry, &reference, wanted.digest).await;
        let _ = tagged_about(&registry, &reference, wanted.digest).await;
    });
});
