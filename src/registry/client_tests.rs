//! The client against a registry of a few lines that fails on purpose.

use std::sync::Arc;

use super::*;
use crate::oci::Index;
use crate::registry::canned::*;
use crate::registry::{IndexUpdate, Merge};

#[tokio::test]
async fn two_503_responses_are_retried_and_a_third_is_reported() {
    let busy = || answer("503 Busy", "Retry-After: 0\r\n", 0, "");
    let good = answer("200 OK", "Content-Type: a/b; c=d\r\n", 2, "{}");
    let (host, seen) = serve(vec![busy(), busy(), good, busy(), busy(), busy()]).await;
    let reference = format!("{host}/a:1").parse().unwrap();
    let (descriptor, bytes) = client().resolve(&reference).await.unwrap();
    assert_eq!(descriptor, Descriptor::of("a/b", b"{}"));
    assert_eq!(&bytes[..], b"{}");
    let error = client().resolve(&reference).await.unwrap_err().to_string();
    assert!(error.contains(&host) && error.contains("503"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn refusals_and_absences_are_not_retried() {
    let (host, seen) = serve(vec![
        answer("401 No", "", 0, ""),
        answer("404 No", "", 0, ""),
    ])
    .await;
    let reference = format!("{host}/a").parse().unwrap();
    let error = client().resolve(&reference).await.unwrap_err();
    assert!(matches!(
        error,
        RegistryError::Unauthorized { status: 401, .. }
    ));
    let error = client().resolve(&reference).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }));
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_cut_blob_resumes_from_the_last_good_byte() {
    let partial = answer("206 Partial", "Content-Range: bytes 5-9/10\r\n", 5, "56789");
    let (host, seen) = serve(vec![answer("200 OK", "", 10, "01234"), partial]).await;
    let reference = format!("{host}/a").parse().unwrap();
    let descriptor = Descriptor::of("a/b", b"0123456789");
    let client = client();
    let bytes = client.read_blob(&reference, &descriptor).await.unwrap();
    assert_eq!(bytes, b"0123456789");
    let requests = seen.lock().unwrap().join("").to_lowercase();
    assert!(requests.contains("range: bytes=5-"), "{requests}");
}

#[tokio::test]
async fn a_registry_that_ignores_ranges_is_read_again_from_the_start() {
    let whole = answer("200 OK", "", 10, "0123456789");
    let (host, _) = serve(vec![answer("200 OK", "", 10, "01234"), whole]).await;
    let reference = format!("{host}/a").parse().unwrap();
    let descriptor = Descriptor::of("a/b", b"0123456789");
    let client = client();
    let bytes = client.read_blob(&reference, &descriptor).await.unwrap();
    assert_eq!(bytes, b"0123456789");
}

#[tokio::test]
async fn altered_blobs_and_manifests_are_refused() {
    let altered = || answer("200 OK", "", 3, "abd");
    let (host, _) = serve(vec![altered(), altered()]).await;
    let reference: Reference = format!("{host}/a").parse().unwrap();
    let descriptor = Descriptor::of("a/b", b"abc");
    let client = client();
    let blob = client.read_blob(&reference, &descriptor).await;
    assert!(matches!(blob, Err(RegistryError::Content { .. })));
    let manifest = client.manifest(&reference, &descriptor).await;
    assert!(matches!(manifest, Err(RegistryError::Content { .. })));
}

#[tokio::test]
async fn a_challenge_is_answered_with_a_token_that_is_kept() {
    let challenge = "WWW-Authenticate: Bearer realm=\"http://HOST/token\",service=\"s\"\r\n";
    let good = || answer("200 OK", "", 2, "{}");
    let token = answer("200 OK", "", 13, r#"{"token":"t"}"#);
    let (host, seen) = serve(vec![
        answer("401 No", challenge, 0, ""),
        token,
        good(),
        good(),
    ])
    .await;
    let reference = format!("{host}/a/b").parse().unwrap();
    let client = client();
    client.resolve(&reference).await.unwrap();
    client.resolve(&reference).await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(
        seen[1].contains("scope=repository%3Aa%2Fb%3Apull"),
        "{}",
        seen[1]
    );
    assert!(seen[3].to_lowercase().contains("authorization: bearer t"));
}

#[tokio::test]
async fn a_repository_is_read_like_any_store() {
    use crate::content::Fetch as _;
    use std::io::Read as _;
    let good = answer("200 OK", "", 3, "abc");
    let (host, _) = serve(vec![good, answer("404 No", "", 0, "")]).await;
    let runtime = tokio::runtime::Handle::current();
    let read = move || {
        let registry = client();
        let repository = crate::registry::Repository {
            registry: &registry,
            reference: format!("{host}/a").parse().unwrap(),
            runtime,
        };
        let descriptor = Descriptor::of("a/b", b"abc");
        let mut text = String::new();
        let mut blob = repository.fetch(&descriptor).unwrap();
        blob.read_to_string(&mut text).unwrap();
        let mut blob = repository.fetch(&descriptor).unwrap();
        let error = blob.read_to_string(&mut String::new()).unwrap_err();
        (text, error.kind())
    };
    let (text, kind) = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!(text, "abc");
    assert_eq!(kind, std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_basic_challenge_is_answered_once_and_an_unsafe_realm_never() {
    let basic = || answer("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n", 0, "");
    let ftp = "WWW-Authenticate: Bearer realm=\"ftp://HOST/token\"\r\n";
    let good = answer("200 OK", "", 2, "{}");
    let answers = vec![basic(), good, basic(), answer("401 No", ftp, 0, "")];
    let (host, seen) = serve(answers).await;
    let reference = format!("{host}/a").parse().unwrap();
    let registry = with_login(&host, r#""auth":"dTpw""#);
    registry.resolve(&reference).await.unwrap();
    assert!(seen.lock().unwrap()[1].contains("Basic dTpw"));
    let error = client().resolve(&reference).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }));
    let error = client().resolve(&reference).await.unwrap_err();
    assert!(matches!(error, RegistryError::Content { .. }));
    assert_eq!(seen.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_login_is_not_sent_to_hosts_that_a_registry_redirects_to() {
    let (storage, seen) = serve(vec![answer("200 OK", "", 3, "abc")]).await;
    let challenge = answer("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n", 0, "");
    let moved = format!("Location: http://{storage}/blob?signature=s\r\n");
    let moved = answer("307 Moved", &moved, 0, "");
    let (host, requests) = serve(vec![challenge, moved]).await;
    let reference = format!("{host}/a").parse().unwrap();
    let registry = with_login(&host, r#""auth":"dTpw""#);
    let descriptor = Descriptor::of("a/b", b"abc");
    let bytes = registry.read_blob(&reference, &descriptor).await;
    assert_eq!(bytes.unwrap(), b"abc");
    assert!(requests.lock().unwrap()[1].contains("Basic dTpw"));
    let followed = seen.lock().unwrap()[0].to_lowercase();
    assert!(!followed.contains("authorization"), "{followed}");
    // URLs may contain secrets.
    assert!(!followed.contains("referer"), "{followed}");
}

#[tokio::test]
async fn an_upload_to_another_host_does_not_send_the_login() {
    let (storage, seen) = serve(vec![answer("201 Created", "", 0, "")]).await;
    let absent = || answer("404 No", "", 0, "");
    let challenge = answer("401 No", "WWW-Authenticate: Basic realm=\"x\"\r\n", 0, "");
    let place = format!("Location: http://{storage}/put?token=s\r\n");
    let begun = answer("202 Accepted", &place, 0, "");
    let held = answer("200 OK", "", 3, "");
    let (host, _) = serve(vec![challenge, absent(), begun, held]).await;
    let to = format!("{host}/a").parse().unwrap();
    let registry = with_login(&host, r#""auth":"dTpw""#);
    let source: crate::registry::BlobSource = Arc::new(Held(b"abc"));
    let descriptor = Descriptor::of("a/b", b"abc");
    let sent = registry
        .push_blob(&to, &descriptor, &source, Default::default())
        .await;
    assert_eq!(sent.unwrap(), crate::registry::Sent::Uploaded);
    let request = seen.lock().unwrap()[0].to_lowercase();
    assert!(!request.contains("authorization"), "{request}");
    assert!(request.contains("token=s&digest=sha256"), "{request}");
}

#[tokio::test]
async fn an_interrupted_chunk_is_continued_where_the_registry_stopped() {
    let at = |status: &str, number: u8, range: &str| {
        let headers = format!("Location: /up/{number}\r\nRange: {range}\r\n");
        answer(status, &headers, 0, "")
    };
    let (host, seen) = serve(vec![
        answer("404 No", "", 0, ""),
        at("202 Accepted", 1, "0-0"),
        at("202 Accepted", 2, "0-3"),
        answer("502 Bad Gateway", "", 0, ""),
        at("204 No Content", 3, "bytes=0-5"),
        at("202 Accepted", 4, "0-9"),
        answer("201 Created", "", 0, ""),
        answer("200 OK", "", 10, ""),
    ])
    .await;
    let registry = in_pieces_of(4);
    let to = format!("{host}/a").parse().unwrap();
    let source: crate::registry::BlobSource = Arc::new(Held(b"0123456789"));
    let descriptor = Descriptor::of("a/b", b"0123456789");
    let sent = registry.push_blob(&to, &descriptor, &source, Default::default());
    assert_eq!(sent.await.unwrap(), crate::registry::Sent::Uploaded);
    let seen = seen.lock().unwrap();
    let requests: Vec<(String, &str)> = seen[2..7]
        .iter()
        .map(|request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let range = head.lines().find(|l| l.starts_with("content-range"));
            let line: Vec<&str> = head.split(['?', ' ']).take(2).collect();
            (format!("{} {}", line.join(" "), range.unwrap_or("")), body)
        })
        .collect();
    let expected = [
        ("PATCH /up/1 content-range: 0-3", "0123"),
        ("PATCH /up/2 content-range: 4-7", "4567"),
        ("GET /up/2 ", ""),
        ("PATCH /up/3 content-range: 6-9", "6789"),
        ("PUT /up/4 ", ""),
    ];
    let expected = expected.map(|(line, body)| (line.to_owned(), body));
    assert_eq!(requests, expected);
}

/// Writes an index until it is stable.
async fn merge_index(
    tag: Reference,
    merge: impl FnMut(Option<&Index>) -> Result<Merge, RegistryError> + Send,
) -> Result<(), RegistryError> {
    let client = client();
    let mut update = IndexUpdate::new(tag, false, merge);
    client.write_index(&mut update).await?;
    client.settle_index(&mut update).await
}

#[tokio::test]
async fn a_retried_write_to_an_index_reads_it_again_first() {
    let absent = answer("404 No", "", 0, "");
    let busy = answer("503 Busy", "Retry-After: 0\r\n", 0, "");
    let index = |names: &str| {
        let kind = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{names}]}}"#);
        answer("200 OK", kind, text.len(), &text)
    };
    let entry = |text: &str| {
        serde_json::to_string(&Descriptor::of(media_type::MANIFEST, text.as_bytes())).unwrap()
    };
    let (theirs, ours) = (entry("theirs"), entry("ours"));
    let stored = answer("201 Created", "", 0, "");
    // Another client wrote while our first write was refused.
    let (between, after) = (index(&theirs), index(&format!("{theirs},{ours}")));
    let (host, seen) = serve(vec![absent, busy, between, stored, after]).await;
    let tag = format!("{host}/a:1").parse().unwrap();
    let merge = |found: Option<&crate::oci::Index>| {
        let mut index = found.cloned().unwrap_or_else(crate::oci::Index::empty);
        let own = Descriptor::of(media_type::MANIFEST, b"ours");
        if index.manifests.contains(&own) {
            return Ok::<_, RegistryError>(Merge::Unchanged);
        }
        index.manifests.push(own);
        Ok(Merge::Put(serde_json::to_vec(&index).unwrap()))
    };
    merge_index(tag, merge).await.unwrap();
    let seen = seen.lock().unwrap();
    let requests: Vec<&str> = seen
        .iter()
        .map(|request| request.split(' ').next().unwrap())
        .collect();
    assert_eq!(requests, ["GET", "PUT", "GET", "PUT", "GET"]);
    assert!(seen[3].contains(&theirs), "{}", seen[3]);
}

#[tokio::test]
async fn the_list_of_referrers_is_written_once_for_all_and_again_if_it_is_overwritten() {
    let subject = Descriptor::of(media_type::MANIFEST, b"subject");
    let manifest = |name: &str| {
        let manifest = crate::oci::Manifest {
            schema_version: 2,
            media_type: None,
            artifact_type: Some(name.to_owned()),
            config: Descriptor::of(media_type::EMPTY, b"{}"),
            layers: Vec::new(),
            subject: Some(subject.clone()),
            annotations: Default::default(),
        };
        bytes::Bytes::from(serde_json::to_vec(&manifest).unwrap())
    };
    let ours = [manifest("a/one"), manifest("a/two")];
    let absent = answer("404 No", "", 0, "");
    let index = |text: &str| {
        let kind = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
        answer("200 OK", kind, text.len(), text)
    };
    let theirs = Descriptor::of(media_type::MANIFEST, b"theirs");
    let theirs = serde_json::to_string(&theirs).unwrap();
    let of_theirs = format!(r#"{{"schemaVersion":2,"manifests":[{theirs}]}}"#);
    let stored = || answer("201 Created", "", 0, "");
    // Another client read before our write, and wrote after it.
    let answers = vec![
        stored(),
        stored(),
        absent,
        stored(),
        index(&of_theirs),
        stored(),
    ];
    let (host, seen) = serve(answers).await;
    let repository: Reference = format!("{host}/a").parse().unwrap();
    let client = client();
    let mut attached = client
        .attach(&repository, subject.digest, &ours)
        .await
        .unwrap();
    {
        let seen = seen.lock().unwrap();
        let requests: Vec<&str> = seen.iter().map(|r| r.split(' ').next().unwrap()).collect();
        assert_eq!(requests, ["PUT", "PUT", "GET", "PUT"]);
    }
    // The answers end after the second write, so waiting again fails.
    let settled = client.settle_referrers(&mut attached).await;
    let seen = seen.lock().unwrap().clone();
    let last = seen
        .iter()
        .rfind(|request| request.starts_with("PUT"))
        .unwrap();
    assert!(last.contains(&theirs), "{last}");
    for own in &ours {
        assert!(last.contains(&Digest::of(own).to_string()), "{last}");
    }
    assert!(settled.is_err());
    // Nothing can be attached to another subject than the one that is listed.
    let other = Digest::of(b"other");
    assert!(client.attach(&repository, other, &ours).await.is_err());
}

#[tokio::test]
async fn no_request_is_sent_before_the_delay_that_a_host_asks_for() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let manifest = answer("200 OK", "Content-Type: a/b\r\n", 2, "{}");
        let busy = answer(status, "Retry-After: 1\r\n", 0, "");
        let (host, seen) = serve(vec![busy, manifest]).await;
        let reference = |path: &str| format!("{host}/{path}:1").parse::<Reference>().unwrap();
        let registry = Registry::new(Options {
            retries: 0,
            ..Options::default()
        });
        let begin = std::time::Instant::now();
        registry.resolve(&reference("a")).await.unwrap_err();
        // Another publisher.
        registry.resolve(&reference("b")).await.unwrap();
        assert!(begin.elapsed() >= Duration::from_secs(1), "{status}");
        assert_eq!(seen.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_refresh_token_is_not_sent_to_a_host_that_the_token_server_redirects_to() {
    for status in ["307 Moved", "308 Moved"] {
        let (thief, stolen) = serve(vec![answer("200 OK", "", 0, "")]).await;
        let challenge = "WWW-Authenticate: Bearer realm=\"http://HOST/token\"\r\n";
        let moved = format!("Location: http://{thief}/steal\r\n");
        let answers = vec![
            answer("401 No", challenge, 0, ""),
            answer(status, &moved, 0, ""),
        ];
        let (host, _) = serve(answers).await;
        let registry = with_login(&host, r#""identitytoken":"s3cret""#);
        let reference = format!("{host}/a").parse().unwrap();
        let error = registry.resolve(&reference).await.unwrap_err().to_string();
        assert!(error.contains("another host"), "{error}");
        assert!(stolen.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn secrets_that_a_server_echoes_are_not_shown() {
    let echo = |text: &str| {
        let body = format!(r#"{{"errors":[{{"code":"X","message":"bad {text} \u202e!"}}]}}"#);
        answer(
            "401 No",
            "WWW-Authenticate: Basic realm=\"x\"\r\n",
            body.len(),
            &body,
        )
    };
    for text in ["Basic YTpIVU5URVIy", "HUNTER2", "a:HUNTER2"] {
        let (host, _) = serve(vec![echo(""), echo(text)]).await;
        let registry = with_login(&host, r#""username":"a","password":"HUNTER2""#);
        let reference = format!("{host}/a").parse().unwrap();
        let error = registry.resolve(&reference).await.unwrap_err().to_string();
        assert!(error.contains("***") && error.contains("bad"), "{error}");
        assert!(
            !error.contains("HUNTER2") && !error.contains("YTpIVU5URVIy"),
            "{error}"
        );
        assert!(!error.contains('\u{202e}'), "{error}");
    }
    let challenge = "WWW-Authenticate: Bearer realm=\"http://HOST/token\"\r\n";
    let (host, _) = serve(vec![
        answer("401 No", challenge, 0, ""),
        echo("s3/cret s3%2Fcret"),
    ])
    .await;
    let registry = with_login(&host, r#""identitytoken":"s3/cret""#);
    let reference = format!("{host}/a").parse().unwrap();
    let error = registry.resolve(&reference).await.unwrap_err().to_string();
    assert!(error.contains("bad *** ***"), "{error}");
}

#[tokio::test]
async fn endless_listings_and_invalid_tags_are_refused() {
    let page = |tag: &str, next: &str| {
        let body = format!(r#"{{"tags":["{tag}"]}}"#);
        let link = format!("Link: </v2/a/tags/list?{next}>; rel=\"next\"\r\n");
        answer("200 OK", &link, body.len(), &body)
    };
    let answers = vec![
        page("1", "last=1"),
        page("2", "last=2"),
        page("1", "last=1"),
    ];
    let (host, seen) = serve(answers).await;
    let reference = format!("{host}/a").parse().unwrap();
    let error = client().tags(&reference).await.unwrap_err().to_string();
    assert!(error.contains("earlier page"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 3);
    for odd in ["\\u001b[31m", "a\\nb", "../../x", "", ".x"] {
        let (host, _) = serve(vec![page(odd, "x")]).await;
        let reference = format!("{host}/a").parse().unwrap();
        let error = client().tags(&reference).await.unwrap_err().to_string();
        assert!(error.contains("names of tags"), "{error}");
        assert!(!error.contains(char::is_control), "{error}");
    }
}

#[tokio::test]
async fn an_upload_that_the_registry_has_forgotten_is_restarted() {
    let at = |status: &str, range: &str| {
        let headers = format!("Location: /up\r\nRange: {range}\r\n");
        answer(status, &headers, 0, "")
    };
    let absent = || answer("404 No", "", 0, "");
    // As distribution 3 says it, and 2.8.
    for gone in ["416 Range", "404 No"] {
        let (host, seen) = serve(vec![
            absent(),
            at("202 Accepted", "0-0"),
            at("202 Accepted", "0-3"),
            answer("502 Bad Gateway", "", 0, ""),
            answer(gone, "", 0, ""),
            absent(),
            at("202 Accepted", "0-0"),
            at("202 Accepted", "0-3"),
            at("202 Accepted", "0-5"),
            answer("201 Created", "", 0, ""),
            answer("200 OK", "", 6, ""),
        ])
        .await;
        let registry = in_pieces_of(4);
        let to = format!("{host}/a").parse().unwrap();
        let source: crate::registry::BlobSource = Arc::new(Held(b"012345"));
        let descriptor = Descriptor::of("a/b", b"012345");
        let sent = registry.push_blob(&to, &descriptor, &source, Default::default());
        assert_eq!(
            sent.await.unwrap(),
            crate::registry::Sent::Uploaded,
            "{gone}"
        );
        assert_eq!(seen.lock().unwrap().len(), 11);
    }
}

#[tokio::test]
async fn a_registry_that_stores_another_index_is_detected() {
    let index = |text: &str| {
        answer(
            "200 OK",
            &format!("Content-Type: {}\r\n", media_type::INDEX),
            text.len(),
            text,
        )
    };
    let other = r#"{"schemaVersion":2,"manifests":[]}"#;
    let wrote = || answer("201 Created", "", 0, "");
    let put = br#"{"schemaVersion":2,"manifests":[],"annotations":{"a":"b"}}"#;
    let merged = async |answers| {
        let (host, _) = serve(answers).await;
        let tag = format!("{host}/a:1").parse().unwrap();
        let merge = |_: Option<&Index>| Ok::<_, RegistryError>(Merge::Put(put.to_vec()));
        merge_index(tag, merge).await.unwrap_err()
    };
    let rounds = (0..6).flat_map(|_| [index(other), wrote()]);
    let error = merged(rounds.chain([index(other)]).collect()).await;
    let found = Digest::of(other.as_bytes()).to_string();
    assert!(matches!(error, RegistryError::Lost { .. }), "{error}");
    assert!(error.to_string().contains(&found), "{error}");
    // What was not written cannot have been lost.
    let failed = (0..3).flat_map(|_| [index(other), answer("503 Busy", "", 0, "")]);
    let error = merged([index(other), wrote()].into_iter().chain(failed).collect()).await;
    let is_503 = matches!(error, RegistryError::Status { status: 503, .. });
    assert!(is_503, "{error}");
}

#[tokio::test]
async fn a_web_page_is_none_of_a_registrys_answers() {
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    let page = || answer("200 OK", html, 14, "<!DOCTYPE html");
    let challenge = "WWW-Authenticate: Bearer realm=\"http://HOST/token\",service=\"s\"\r\n";
    let ask = answer("401 No", challenge, 0, "");
    let answers = vec![page(), page(), page(), ask, page(), page(), page()];
    let (host, _) = serve(answers).await;
    let reference: Reference = format!("{host}/a:1").parse().unwrap();
    let blob = Descriptor::of("a/b", b"abc");
    let source: crate::registry::BlobSource = std::sync::Arc::new(Held(b"abc"));
    let client = client();
    let tags = client.tags(&reference).await.unwrap_err();
    let manifest = client.resolve(&reference).await.unwrap_err();
    let read = client.read_blob(&reference, &blob).await.unwrap_err();
    let token = client.resolve(&reference).await.unwrap_err();
    // The first answers a HEAD request, which has no page.
    let sent = client.push_blob(&reference, &blob, &source, Default::default());
    let sent = sent.await.unwrap_err();
    for error in [tags, manifest, read, token, sent] {
        assert!(matches!(error, RegistryError::WebPage { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_empty_answer_of_any_type_and_a_blob_that_is_a_page_are_taken() {
    let html = "Content-Type: text/html\r\n";
    let begun = format!("Location: /up\r\n{html}");
    let answers = vec![
        answer("200 OK", html, 3, "abc"),
        answer("404 No", "", 0, ""),
        answer("202 Accepted", &begun, 0, ""),
        answer("201 Created", html, 0, ""),
        answer("200 OK", html, 3, ""),
    ];
    let (host, _) = serve(answers).await;
    let reference: Reference = format!("{host}/a:1").parse().unwrap();
    let blob = Descriptor::of("text/html", b"abc");
    let source: crate::registry::BlobSource = std::sync::Arc::new(Held(b"abc"));
    let client = client();
    assert_eq!(client.read_blob(&reference, &blob).await.unwrap(), b"abc");
    let sent = client.push_blob(&reference, &blob, &source, Default::default());
    sent.await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_is_known_before_its_first_byte() {
    // Each answer announces more than it sends: reading it would fail otherwise.
    let most = crate::oci::MAX_MANIFEST_BYTES;
    let announced = usize::try_from(most).unwrap() + 1;
    let large = || answer("200 OK", "", announced, "");
    let answers = vec![large(), large(), answer("200 OK", "", 4, "")];
    let (host, seen) = serve(answers).await;
    let reference: Reference = format!("{host}/a:1").parse().unwrap();
    let client = client();
    for error in [
        client.resolve(&reference).await.unwrap_err(),
        client.tags(&reference).await.unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains(&format!("of {announced} bytes")), "{error}");
    }
    let blob = Descriptor::of("a/b", b"abc");
    let error = client.read_blob(&reference, &blob).await.unwrap_err();
    assert!(error.to_string().contains("a blob of 4 bytes"), "{error}");
    // An index that names a larger one: nothing is requested.
    let listed = Descriptor {
        size: most + 1,
        ..Descriptor::of("m", b"x")
    };
    let error = client.manifest(&reference, &listed).await.unwrap_err();
    assert!(error.to_string().contains("of 4194305 bytes"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_manifest_cut_short_is_requested_again() {
    let short = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab".to_vec();
    let cut = answer("200 OK", "", 3, "ab");
    let (host, seen) = serve(vec![short, cut, answer("200 OK", "", 3, "abc")]).await;
    let reference: Reference = format!("{host}/a:1").parse().unwrap();
    let wanted = Descriptor::of("m", b"abc");
    let bytes = client().manifest(&reference, &wanted).await.unwrap();
    assert_eq!((&bytes[..], seen.lock().unwrap().len()), (&b"abc"[..], 3));
}
