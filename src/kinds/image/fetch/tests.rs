//! Fetching from a test registry that counts requests.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::oci::{Digest, media_type};
use crate::registry::Options;

type Seen = Arc<Mutex<Vec<String>>>;

/// Serves `content` by path, cutting the first answer to each blob short.
async fn serve(content: HashMap<String, Vec<u8>>) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        // A client that gives up a transfer may connect without a request, or
        // disconnect.
        'next: loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                match socket.read(&mut buffer).await {
                    Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                    _ => continue 'next,
                }
            }
            let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let from = request.split("range: bytes=").nth(1);
            let from: usize =
                from.map_or(0, |rest| rest.split('-').next().unwrap().parse().unwrap());
            log.lock().unwrap().push(path.clone());
            let body = content.get(&path).cloned().unwrap_or_default();
            let cut = from == 0 && path.contains("/blobs/") && body.len() > 4;
            let status = match (content.contains_key(&path), from) {
                (false, _) => "404 Not Found",
                (_, 0) => "200 OK",
                _ => "206 Partial Content",
            };
            let rest = &body[from..];
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\n\r\n",
                rest.len(),
                body.len(),
                body.len(),
            );
            let sent = if cut { &rest[..4] } else { rest };
            let answer = [head.as_bytes(), sent].concat();
            let _ = socket.write_all(&answer).await;
            let _ = socket.shutdown().await;
        }
    });
    (host, seen)
}

struct Image {
    manifest: Descriptor,
    content: HashMap<String, Vec<u8>>,
}

fn image(repositories: &[&str], layers: &[&[u8]]) -> Image {
    let config = Descriptor::of(media_type::CONFIG, b"{\"config\":1}");
    let described: Vec<_> = layers
        .iter()
        .map(|bytes| Descriptor::of(media_type::LAYER, bytes))
        .collect();
    let text = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": described
    });
    let text = serde_json::to_vec(&text).unwrap();
    let manifest = Descriptor::of(media_type::MANIFEST, &text);
    let mut content = HashMap::new();
    for repository in repositories {
        for (blob, bytes) in described.iter().zip(layers) {
            content.insert(
                format!("/v2/{repository}/blobs/{}", blob.digest),
                bytes.to_vec(),
            );
        }
        let config = (config.digest, b"{\"config\":1}".to_vec());
        content.insert(format!("/v2/{repository}/blobs/{}", config.0), config.1);
        for name in ["1".to_owned(), manifest.digest.to_string()] {
            content.insert(format!("/v2/{repository}/manifests/{name}"), text.clone());
        }
    }
    Image { manifest, content }
}

struct Bench {
    registry: Registry,
    cas: Arc<Cas>,
    permits: Semaphore,
    in_flight: InFlight,
    _dir: tempfile::TempDir,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        retries: 2,
        backoff: Duration::from_millis(1),
        ..Options::default()
    };
    Bench {
        registry: Registry::new(options),
        cas: Arc::new(Cas::open(dir.path()).unwrap()),
        permits: Semaphore::new(3),
        in_flight: InFlight::default(),
        _dir: dir,
    }
}

impl Bench {
    async fn pull(&self, reference: &str, manifest: &Descriptor) -> Result<Fetched, FetchError> {
        let reference: Reference = reference.parse().unwrap();
        fetch(
            &self.registry,
            &self.cas,
            &reference,
            manifest,
            &self.permits,
            &self.in_flight,
        )
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_images_fetch_each_blob_once_and_resume_broken_connections() {
    let layers: [&[u8]; 3] = [b"first layer", b"second layer", b"first layer"];
    let image = image(&["a", "b"], &layers);
    let (host, seen) = serve(image.content).await;
    let bench = bench();
    let names = [format!("{host}/a:1"), format!("{host}/b:1")];
    let reference = names[0].parse().unwrap();
    let platform = "linux/amd64".parse().unwrap();
    let (found, bytes) = bench.registry.resolve(&reference).await.unwrap();
    let pin = meant(&found, &bytes, &platform);
    assert_eq!(pin.unwrap().manifest, image.manifest);
    let (one, two) = tokio::join!(
        bench.pull(&names[0], &image.manifest),
        bench.pull(&names[1], &image.manifest)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    let outputs = one.outputs;
    assert_eq!(outputs, two.outputs);
    // Each part was fetched once, for the first request.
    let mut sizes: Vec<_> = outputs.iter().map(|o| (o.digest, o.size)).collect();
    sizes.sort();
    sizes.dedup();
    let all: u64 = sizes.iter().map(|(_, size)| size).sum();
    assert_eq!(one.bytes + two.bytes, all);
    let shown: Vec<_> = outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(
        shown,
        ["manifest", "config", "layer/0", "layer/1", "layer/2"]
    );
    for output in &outputs {
        assert!(bench.cas.contains(&output.digest, output.size).unwrap());
    }
    // Each of three blobs: one answer cut short, and the rest of it.
    let requests = |seen: &Seen| {
        let seen = seen.lock().unwrap();
        seen.iter().filter(|path| path.contains("/blobs/")).count()
    };
    assert_eq!(requests(&seen), 6, "{seen:?}");
    let before = seen.lock().unwrap().len();
    bench.pull(&names[0], &image.manifest).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), before, "no repeated requests");
}

#[tokio::test]
async fn altered_and_missing_blobs_are_errors_that_name_them() {
    let mut altered = image(&["a"], &[b"right"]);
    let digest = Digest::of(b"right");
    let path = format!("/v2/a/blobs/{digest}");
    altered.content.insert(path.clone(), b"wrong".to_vec());
    let (host, _) = serve(altered.content.clone()).await;
    let bench = bench();
    let error = bench
        .pull(&format!("{host}/a:1"), &altered.manifest)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, FetchError::Store { .. }) && text.contains("layer/0"),
        "{text}"
    );
    assert!(!bench.cas.contains(&Digest::of(b"wrong"), 5).unwrap());
    altered.content.remove(&path);
    let (host, _) = serve(altered.content).await;
    let error = bench
        .pull(&format!("{host}/a:1"), &altered.manifest)
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&digest.to_string()), "{error}");
    let reference = format!("{host}/none:1").parse().unwrap();
    let missing = bench.registry.resolve(&reference).await;
    assert!(missing.unwrap_err().to_string().contains("not found"));
}
