//! Downloads from a server of a few lines that fails on purpose.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::registry::Options;

/// Serves `answers` in order, one for each connection, and records the requests.
async fn serve(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                let count = socket.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..count]);
            }
            let request = String::from_utf8(request).unwrap();
            log.lock().unwrap().push(request.to_ascii_lowercase());
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    });
    (url, seen)
}

fn answer(status: &str, headers: &str, length: usize, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

struct Bench {
    registry: Registry,
    cas: Arc<Cas>,
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
        _dir: dir,
    }
}

impl Bench {
    async fn get(&self, url: &str, sha256: Option<Digest>) -> Result<Output, DownloadError> {
        self.get_within(url, sha256, None).await
    }

    async fn get_within(
        &self,
        url: &str,
        sha256: Option<Digest>,
        most: Option<u64>,
    ) -> Result<Output, DownloadError> {
        let permits = Semaphore::new(1);
        download(&self.registry, url, sha256, most, &self.cas, &permits).await
    }
}

#[tokio::test]
async fn a_truncated_download_is_resumed_if_the_file_is_unchanged() {
    let (url, seen) = serve(vec![
        answer("200 OK", "ETag: \"v1\"\r\n", 6, "abc"),
        answer("503 Busy", "Retry-After: 0\r\n", 0, ""),
        answer(
            "206 Partial Content",
            "Content-Range: bytes 3-5/6\r\n",
            3,
            "def",
        ),
    ])
    .await;
    let bench = bench();
    let expected = Digest::of(b"abcdef");
    let output = bench.get(&url, Some(expected)).await.unwrap();
    assert_eq!((output.digest, output.size), (expected, 6));
    let last = seen.lock().unwrap()[2].clone();
    assert!(last.contains("range: bytes=3-") && last.contains("if-range: \"v1\""));
    // The file is cached now: no request goes to the server, which is gone.
    assert_eq!(bench.get(&url, Some(expected)).await.unwrap(), output);
}

#[tokio::test]
async fn a_truncated_download_restarts_if_the_file_may_have_changed() {
    for header in ["", "ETag: W/\"v1\"\r\n", "ETag: \"v1\"\r\n"] {
        let (url, _) = serve(vec![
            answer("200 OK", header, 6, "abc"),
            answer("200 OK", "", 2, "xy"),
        ])
        .await;
        let output = bench().get(&url, None).await.unwrap();
        assert_eq!(output.digest, Digest::of(b"xy"), "{header}");
    }
}

#[tokio::test]
async fn errors_name_the_address_without_its_secrets() {
    let bench = bench();
    let (url, _) = serve(vec![
        answer("404 Not Found", "", 0, ""),
        answer("200 OK", "", 2, "no"),
    ])
    .await;
    let secret = format!("{}?token=s3cret", url.replace("://", "://user:s3cret@"));
    let absent = bench.get(&secret, None).await.unwrap_err().to_string();
    assert!(
        absent.contains(&url) && absent.contains("HTTP 404"),
        "{absent}"
    );
    assert!(!absent.contains("s3cret"), "{absent}");
    let expected = Digest::of(b"yes");
    let other = bench.get(&url, Some(expected)).await.unwrap_err();
    assert!(matches!(other, DownloadError::Digest { .. }), "{other}");
    assert!(!bench.cas.contains(&Digest::of(b"no"), 2).unwrap());
    for odd in ["file:///etc/passwd", "ftp://h/f", "f", "http://"] {
        let error = bench.get(odd, None).await.unwrap_err();
        assert!(matches!(error, DownloadError::Address(_)), "{odd}: {error}");
    }
}

#[tokio::test]
async fn a_file_beyond_the_limit_is_refused_when_it_is_announced_and_when_it_comes() {
    let announced = |length| answer("200 OK", "", length, "abc");
    let endless = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}",
        "a".repeat(5000)
    );
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "3e8\r\n".to_owned() + &"a".repeat(1000) + "\r\n3e8\r\n" + &"a".repeat(1000)
    );
    for (text, most) in [
        (announced(1001), Some(1000)),
        (announced(1 << 60), None),
        (endless, Some(1000)),
        (chunked, Some(1500)),
    ] {
        let (url, seen) = serve(vec![text]).await;
        let error = bench().get_within(&url, None, most).await.unwrap_err();
        assert!(matches!(error, DownloadError::TooLarge { .. }), "{error}");
        assert_eq!(seen.lock().unwrap().len(), 1, "not tried again");
    }
    // Within the limit, and beyond what the disk holds.
    let most = Some(u64::MAX);
    let huge = answer("200 OK", "", (1_usize << 62) - 1, "abc");
    let (huge, _) = serve(vec![huge]).await;
    let error = bench().get_within(&huge, None, most).await.unwrap_err();
    let text = crate::text::with_causes(&error);
    assert!(text.contains("bytes are needed"), "{text}");
    let (url, _) = serve(vec![answer("200 OK", "", 3, "abc")]).await;
    assert_eq!(
        bench().get_within(&url, None, Some(3)).await.unwrap().size,
        3
    );
}
