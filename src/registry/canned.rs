//! For tests: a minimal registry with prepared answers, and clients for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Credentials, Hosts, LoginText, Options, PerHost, Registry};
use crate::oci::Descriptor;

/// Serves `answers` in order, one for each connection, and records the requests.
pub(super) async fn serve(answers: Vec<Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
    serve_at("127.0.0.1", answers).await
}

/// The same at another address of this machine.
pub(super) async fn serve_at(
    address: &str,
    answers: Vec<Vec<u8>>,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, own) = (Arc::clone(&seen), host.clone());
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            while !is_whole(&request) {
                let count = socket.read(&mut buffer).await.unwrap();
                assert!(count > 0);
                request.extend_from_slice(&buffer[..count]);
            }
            log.lock()
                .unwrap()
                .push(String::from_utf8(request).unwrap());
            let answer = String::from_utf8(answer).unwrap().replace("HOST", &own);
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    });
    (host, seen)
}

/// Whether a request has arrived with its whole body. Closing the connection
/// before that may discard the answer.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

pub(super) fn answer(status: &str, headers: &str, length: usize, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

pub(super) fn client() -> Registry {
    client_with(Hosts::default())
}

pub(super) fn client_with(hosts: Hosts) -> Registry {
    Registry::new(Options {
        hosts,
        retries: 2,
        backoff: Duration::from_millis(1),
        settle: Duration::from_millis(1),
        ..Options::default()
    })
}

pub(super) fn with_login(host: &str, login: &str) -> Registry {
    let text = LoginText {
        from: "a.json".to_owned(),
        text: Ok(format!(r#"{{"auths":{{"{host}":{{{login}}}}}}}"#)),
    };
    Registry::new(Options {
        credentials: Credentials::from_docker_configs(&[text], &[]).unwrap(),
        ..Options::default()
    })
}

pub(super) fn in_pieces_of(most: u64) -> Registry {
    client_with(Hosts {
        max_bodies: PerHost {
            every: Some(most),
            ..PerHost::default()
        },
        ..Hosts::default()
    })
}

pub(super) struct Held(pub(super) &'static [u8]);

impl crate::content::Fetch for Held {
    fn fetch(&self, _: &Descriptor) -> std::io::Result<Box<dyn std::io::Read + Send + '_>> {
        Ok(Box::new(self.0))
    }
}
