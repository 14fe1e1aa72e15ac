//! A service on loopback with the answers of a test.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request: the request line and headers in lower case, and the body.
pub(super) type Received = (String, Vec<u8>);

/// Serves until the process ends.
pub(super) struct Stub {
    pub url: String,
    pub requests: Arc<Mutex<Vec<Received>>>,
}

impl Stub {
    /// `answer` maps a path and a body to a status, further header lines and a
    /// body.
    pub fn new(
        answer: impl Fn(&str, &[u8]) -> (u16, &'static str, Vec<u8>) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<Received>>>::default();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A client that gives up may connect without a request.
                let Some((head, body)) = read(&mut stream) else {
                    continue;
                };
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let (status, headers, out) = answer(&path, &body);
                seen.lock().unwrap().push((head, body));
                let length = out.len();
                let head = format!(
                    "HTTP/1.1 {status} x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
                );
                let _ = stream.write_all(&[head.as_bytes(), &out].concat());
            }
        });
        Self { url, requests }
    }

    /// Number of requests so far.
    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let (line, headers) = head.split_once("\r\n")?;
    let head = format!("{line}\r\n{}", headers.to_lowercase());
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}
