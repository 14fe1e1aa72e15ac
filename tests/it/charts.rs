//! Charts from Helm repositories and from registries, over loopback.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use crate::nights::next_day;
use crate::sandbox::{Sandbox, settle};

/// Media type and content, by path.
type Served = BTreeMap<String, (String, Vec<u8>)>;

/// Serves files by path; counts requests, and those with credentials.
pub struct Server {
    pub port: u16,
    files: Arc<Mutex<Served>>,
    asked: Arc<AtomicUsize>,
    logins: Arc<AtomicUsize>,
}

impl Server {
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            files: Arc::default(),
            asked: Arc::default(),
            logins: Arc::default(),
        };
        let files = Arc::clone(&server.files);
        let (asked, logins) = (Arc::clone(&server.asked), Arc::clone(&server.logins));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 1024];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut buffer) {
                        Ok(count @ 1..) => request.extend(&buffer[..count]),
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                asked.fetch_add(1, Ordering::SeqCst);
                if request.to_lowercase().contains("authorization: basic") {
                    logins.fetch_add(1, Ordering::SeqCst);
                }
                let path = request.split(' ').nth(1).unwrap_or_default();
                let found = files.lock().unwrap().get(path).cloned();
                let (status, kind, body) = match found {
                    Some((kind, body)) => ("200 OK", kind, body),
                    None => ("404 Not Found", "text/plain".to_owned(), Vec::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        });
        server
    }

    pub fn put(&self, path: &str, kind: &str, body: impl Into<Vec<u8>>) {
        let mut files = self.files.lock().unwrap();
        files.insert(path.to_owned(), (kind.to_owned(), body.into()));
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

fn package(sandbox: &Sandbox, url: &str, version: &str) {
    sandbox.write(
        "jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: \"1.0.0\"\n  \
             architecture: amd64\ncomponents:\n- name: web\n  charts:\n  - name: mine\n    \
             repoName: web\n    version: \"{version}\"\n    namespace: n\n    url: {url}\n"
        ),
    );
    settle();
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// A packaged chart.
fn tgz(name: &str, version: &str) -> Vec<u8> {
    let text = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let path = format!("{name}/Chart.yaml");
    tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(&tar.into_inner().unwrap()).unwrap();
    out.finish().unwrap()
}

#[test]
fn a_file_by_its_url_is_asked_for_again_after_the_time_that_its_task_sets() {
    let server = Server::start();
    server.put("/motd", "text/plain", "one");
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata: {{ name: demo, version: \"1.0.0\" }}\ncomponents:\n\
             - name: web\n  files: [{{ source: 'http://127.0.0.1:{}/motd', target: /etc/motd }}]\n",
            server.port
        ),
    );
    let task = |cache: &str| {
        let task = "component: { definition: jackal.yaml, name: web }";
        sandbox.pipeline(&format!("tasks:\n  web: {{ {task}{cache} }}\n"));
    };
    let status = || sandbox.build(&["--pipeline", "p.yaml"]).remove(0).1;
    task(", cache: { fresh: 24h }");
    assert_eq!(status(), "executed");
    server.put("/motd", "text/plain", "two");
    server.asked();
    assert_eq!((status().as_str(), server.asked()), ("cached", 0));

    next_day(&sandbox.cache());
    assert_eq!(status(), "executed");
    assert_eq!((status().as_str(), server.asked()), ("cached", 1));

    // One build uses one answer, also in a task that sets no time.
    next_day(&sandbox.cache());
    server.put("/motd", "text/plain", "2 1/2");
    let tree = "component: { definition: jackal.yaml, name: web }, cache: { salt: x }";
    sandbox.pipeline(&format!(
        "tasks:\n  web: {{ component: {{ definition: jackal.yaml, name: web }}, cache: {{ fresh: 24h }} }}\n  \
         again: {{ {tree} }}\n"
    ));
    let both = |status| {
        [("again", status), ("web", status)]
            .map(|(task, status): (&str, &str)| (task.to_owned(), status.to_owned()))
    };
    assert_eq!(sandbox.build(&["--pipeline", "p.yaml"]), both("executed"));
    assert_eq!(sandbox.build(&["--pipeline", "p.yaml"]), both("cached"));
    server.asked();

    // Without the key, only `jackal update` asks.
    next_day(&sandbox.cache());
    server.put("/motd", "text/plain", "three");
    task("");
    assert_eq!((status().as_str(), server.asked()), ("cached", 0));
}

/// The chart's archive in the package.
fn packed(sandbox: &Sandbox, file: &str) -> Vec<u8> {
    let archive = "dist/jackal-package-demo-amd64-1.0.0.tar.zst";
    let said = sandbox.run(&["package", "extract", archive, "-o", "out"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let bytes = std::fs::read(sandbox.src().join("out/components/web.tar")).unwrap();
    std::fs::remove_dir_all(sandbox.src().join("out")).unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().to_string_lossy() == format!("web/charts/{file}") {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            return content;
        }
    }
    panic!("no {file} in the component");
}

#[test]
fn a_local_archive_that_helm_would_not_load_is_refused_by_lint_and_build() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: 1.0.0, architecture: amd64}\n\
         components:\n- name: web\n  charts:\n  - name: mine\n    version: 1.2.0\n    \
         namespace: n\n    localPath: web.tgz\n",
    );
    let good = tgz("web", "1.2.0");
    let needs =
        "1.2.0\ndependencies:\n- {name: db, version: 1.0.0, repository: 'https://h.example'}";
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n",
        "7".repeat(64)
    );
    for (bytes, message) in [
        (&b"no archive"[..], "web.tgz"),
        (&good[..good.len() / 2], "web.tgz"),
        (&tgz("web", "not a version")[..], "web.tgz/Chart.yaml:"),
        (&tgz("web", needs)[..], "depends on `db`"),
        (pointer.as_bytes(), "Git LFS pointer"),
    ] {
        sandbox.write("web.tgz", bytes);
        settle();
        for command in [&["dev", "lint"][..], &["build"]] {
            let said = sandbox.run(command);
            assert_ne!(said.code, Some(0), "{message}");
            let text = said.stdout + &said.stderr;
            assert!(text.contains(message), "{message}: {text}");
        }
    }
    sandbox.write("web.tgz", &good[..]);
    settle();
    assert_eq!(sandbox.run(&["dev", "lint"]).code, Some(0));
    sandbox.build(&[]);
    assert_eq!(packed(&sandbox, "mine-1.2.0.tgz"), good);
}

#[test]
fn a_version_constraint_is_resolved_once_and_the_archive_comes_from_its_repository() {
    let (sandbox, server) = (Sandbox::new(), Server::start());
    let index = |versions: &[(&str, &str)]| {
        let mut text = "apiVersion: v1\nentries:\n  web:\n".to_owned();
        for (version, sum) in versions {
            text += &format!(
                "  - version: {version}\n    digest: {sum}\n    urls: [web-{version}.tgz]\n"
            );
        }
        server.put("/charts/index.yaml", "text/yaml", text);
    };
    let (old, new) = (tgz("web", "1.2.0"), tgz("web", "1.3.0"));
    let old = (old.clone(), hex(&old));
    server.put("/charts/web-1.2.0.tgz", "application/gzip", old.0.clone());
    server.put("/charts/web-1.3.0.tgz", "application/gzip", new.clone());
    index(&[("1.2.0", &old.1), ("2.0.0", &old.1)]);
    let url = format!("http://user:secret@127.0.0.1:{}/charts", server.port);
    package(&sandbox, &url, "^1.2");
    for flag in ["--locked", "--offline"] {
        let said = sandbox.run(&["build", flag]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(!said.stderr.contains("secret"), "{}", said.stderr);
    }
    assert_eq!(server.asked(), 0);
    assert_eq!(sandbox.executed().len(), 3);
    assert_eq!(server.asked(), 2, "the index and the archive");
    assert_eq!(server.logins.load(Ordering::SeqCst), 2);
    assert_eq!(packed(&sandbox, "mine-^1.2.tgz"), old.0);
    // A newer matching version changes nothing until the pin is moved.
    index(&[("1.3.0", &hex(&new)), ("1.2.0", &old.1)]);
    assert_eq!(sandbox.executed(), [""; 0]);
    assert_eq!(server.asked(), 0);
    std::fs::remove_dir_all(sandbox.cache()).unwrap();
    assert_eq!(sandbox.executed().len(), 3);
    assert_eq!(server.asked(), 1, "the archive alone");
    let lock = std::fs::read_to_string(sandbox.src().join("jackal.lock")).unwrap();
    assert!(!lock.contains("secret") && lock.contains("1.2.0"), "{lock}");
    let said = sandbox.run(&["update"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(sandbox.executed().len(), 3);
    assert_eq!(packed(&sandbox, "mine-^1.2.tgz"), new);
}

#[test]
fn an_archive_that_differs_from_the_index_is_refused() {
    let (sandbox, server) = (Sandbox::new(), Server::start());
    let sum = hex(b"expected");
    let index =
        format!("entries:\n  web:\n  - version: 1.0.0\n    digest: {sum}\n    urls: [w.tgz]\n");
    server.put("/index.yaml", "text/yaml", index);
    server.put("/w.tgz", "application/gzip", b"other".to_vec());
    package(
        &sandbox,
        &format!("http://127.0.0.1:{}", server.port),
        "1.0.0",
    );
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(said.stderr.contains(&sum), "{}", said.stderr);
}

#[test]
fn an_archive_of_another_chart_is_refused_also_where_the_index_has_no_digest() {
    let (sandbox, server) = (Sandbox::new(), Server::start());
    let index = "entries:\n  web:\n  - version: 1.0.0\n    urls: [w.tgz]\n";
    server.put("/index.yaml", "text/yaml", index);
    let url = format!("http://127.0.0.1:{}", server.port);
    package(&sandbox, &url, "1.0.0");
    for (archive, message) in [
        (
            tgz("evil", "1.0.0"),
            "holds the chart `evil` 1.0.0, expected `web` 1.0.0",
        ),
        (tgz("web", "9.0.0"), "holds the chart `web` 9.0.0"),
        (b"<!DOCTYPE html>".to_vec(), "is not a chart"),
    ] {
        server.put("/w.tgz", "application/gzip", archive);
        let _ = std::fs::remove_file(sandbox.src().join("jackal.lock"));
        let said = sandbox.run(&["build"]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(said.stderr.contains(message), "{}", said.stderr);
        assert!(!sandbox.src().join("dist").exists());
    }
    server.put("/w.tgz", "application/gzip", tgz("web", "1.0.0"));
    std::fs::remove_file(sandbox.src().join("jackal.lock")).unwrap();
    assert_eq!(sandbox.executed().len(), 3);
}

#[test]
fn a_web_page_is_no_repository_of_charts() {
    let (sandbox, server) = (Sandbox::new(), Server::start());
    server.put("/index.yaml", "text/html", b"<!DOCTYPE html>".to_vec());
    let url = format!("http://127.0.0.1:{}", server.port);
    package(&sandbox, &url, "1.0.0");
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    assert!(
        said.stderr.contains("a web page answered"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_chart_in_a_registry_is_the_layer_that_helm_pushes() {
    let (sandbox, server) = (Sandbox::new(), Server::start());
    let (chart, config) = (tgz("web", "1.2.0+b1"), b"{}".to_vec());
    let manifest = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
         \"config\":{{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":\
         \"sha256:{}\",\"size\":{}}},\"layers\":[{{\"mediaType\":\
         \"application/vnd.cncf.helm.chart.content.v1.tar+gzip\",\"digest\":\"sha256:{}\",\
         \"size\":{}}}]}}",
        hex(&config),
        config.len(),
        hex(&chart),
        chart.len()
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let repository = "/v2/charts/web";
    server.put("/v2/", "application/json", "{}");
    for name in ["1.2.0_b1", &format!("sha256:{}", hex(manifest.as_bytes()))] {
        server.put(
            &format!("{repository}/manifests/{name}"),
            kind,
            manifest.clone(),
        );
    }
    for blob in [&chart, &config] {
        let path = format!("{repository}/blobs/sha256:{}", hex(blob));
        server.put(&path, "application/octet-stream", blob.clone());
    }
    let url = format!("oci://127.0.0.1:{}/charts/web", server.port);
    package(&sandbox, &url, "1.2.0+b1");
    assert_eq!(sandbox.executed().len(), 3);
    assert_eq!(packed(&sandbox, "mine-1.2.0+b1.tgz"), chart);
    server.asked();
    assert_eq!(sandbox.executed(), [""; 0]);
    assert_eq!(server.asked(), 0);
}

/// The same for a file from the web, whose address has a login and a checksum.
#[test]
fn a_web_file_is_pinned_without_its_login_and_update_moves_the_pin() {
    let (sandbox, server) = (Sandbox::new(), Server::start());
    server.put("/f", "text/plain", b"old".to_vec());
    server.put("/g", "text/plain", b"fixed".to_vec());
    let host = format!("127.0.0.1:{}", server.port);
    sandbox.write(
        "jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  version: \"1.0.0\"\n  \
             architecture: amd64\ncomponents:\n- name: web\n  files:\n  \
             - {{source: 'http://user:secret@{host}/f', target: /f}}\n  \
             - {{source: 'http://{host}/g@{}', target: /g}}\n",
            hex(b"fixed")
        ),
    );
    assert_eq!(sandbox.executed().len(), 3);
    assert!(server.logins.load(Ordering::SeqCst) > 0);
    let lock = || std::fs::read_to_string(sandbox.src().join("jackal.lock")).unwrap();
    assert!(!lock().contains("secret"), "{}", lock());
    assert!(lock().contains(&hex(b"old")) && lock().contains(&hex(b"fixed")));
    server.put("/f", "text/plain", b"new".to_vec());
    assert_eq!(sandbox.executed(), [""; 0], "the pin stays");
    let said = sandbox.run(&["update", "--image", &format!("http://{host}/f")]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(!said.stderr.contains("secret"), "{}", said.stderr);
    assert!(lock().contains(&hex(b"new")) && !lock().contains(&hex(b"old")));
    assert_eq!(sandbox.executed().len(), 3);
}

#[test]
fn the_users_limit_holds_for_downloads_and_for_what_an_archive_unpacks_to() {
    let (sandbox, server) = (Sandbox::new(), Server::start());
    server.put("/f", "application/octet-stream", vec![b'x'; 5000]);
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1 << 20);
    header.set_mode(0o644);
    let content = vec![0; 1 << 20];
    tar.append_data(&mut header, "f", &content[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    sandbox.write("a.tar.zst", zstd::encode_all(&tar[..], 1).unwrap());
    let web = format!(
        "{{source: 'http://127.0.0.1:{}/f', target: /x}}",
        server.port
    );
    for (file, small, enough) in [
        (web.as_str(), "4KB", "5KB"),
        (
            "{source: a.tar.zst, target: /x, extractPath: f}",
            "1MB",
            "2MB",
        ),
    ] {
        sandbox.write(
            "jackal.yaml",
            format!(
                "kind: JackalPackageConfig\nmetadata: {{name: demo, architecture: amd64}}\n\
                 components:\n- name: a\n  files:\n  - {file}\n"
            ),
        );
        settle();
        let build = |size: &str| sandbox.run(&["build", &format!("--max-content-size={size}")]);
        let refused = build(small);
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("--max-content-size"),
            "{}",
            refused.stderr
        );
        let built = build(enough);
        assert_eq!(built.code, Some(0), "{}", built.stderr);
    }
}
