//! Git repositories and members of archives as parts of a component, and a package
//! that Zarf built, rebuilt here.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use super::charts::Server;
use super::sandbox::{Sandbox, settle};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// Kind, mode and content of each entry of a tar, and of archives inside it.
type Entries = BTreeMap<String, (u8, u32, Vec<u8>)>;

fn entries(bytes: &[u8]) -> Entries {
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let kind = entry.header().entry_type().as_byte();
        let mode = entry.header().mode().unwrap();
        let mut content = Vec::new();
        match entry.link_name().unwrap() {
            Some(target) => content.extend(target.to_str().unwrap().as_bytes()),
            None => drop(entry.read_to_end(&mut content).unwrap()),
        }
        if path.ends_with(".tgz") {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&content[..])
                .read_to_end(&mut plain)
                .unwrap();
            for (name, inner) in entries(&plain) {
                found.insert(format!("{path}!{name}"), inner);
            }
            content.clear();
        }
        found.insert(path, (kind, mode, content));
    }
    found
}

fn member(archive: &Path, name: &str) -> Vec<u8> {
    let plain = zstd::stream::read::Decoder::new(fs::File::open(archive).unwrap()).unwrap();
    for entry in tar::Archive::new(plain).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().to_str() == Some(name) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            return bytes;
        }
    }
    panic!("{} holds no {name}", archive.display());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn the_package_that_zarf_built_is_built_here_with_the_same_components() {
    let sandbox = Sandbox::new();
    copy(&Path::new(FIXTURES).join("zarf-source"), &sandbox.src());
    // Its image is in no registry here, and not part of a component tar.
    let definition = fs::read_to_string(sandbox.src().join("zarf.yaml")).unwrap();
    let without = definition.replace("    images: [localhost:5000/demo/tiny:1]\n", "");
    let without = without.replace("version: 1.2.3", "version: \"1.2.3\"");
    sandbox.write("zarf.yaml", without);
    settle();
    let said = sandbox.run(&["build"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let ours = sandbox
        .src()
        .join("dist/zarf-package-interop-amd64-1.2.3.tar.zst");
    let theirs = Path::new(FIXTURES).join("packages/zarf-package-interop-amd64-1.2.3.tar.zst");
    for component in ["components/base.tar", "components/app.tar"] {
        let (ours, theirs) = (
            entries(&member(&ours, component)),
            entries(&member(&theirs, component)),
        );
        let names = |entries: &Entries| entries.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs));
        for (name, (kind, mode, content)) in &ours {
            let (their_kind, their_mode, their_content) = &theirs[name];
            assert_eq!((kind, content), (their_kind, their_content), "{name}");
            // Newer Zarf gives this folder another mode than the format says.
            if name != "app/charts" && *kind != b'2' {
                assert_eq!(mode, their_mode, "{name}");
            }
        }
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_DATE", "2024-01-02T03:04:05Z")
        .env("GIT_COMMITTER_DATE", "2024-01-02T03:04:05Z")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with two commits, a tag on the first and a second branch.
fn repository(folder: &Path) -> String {
    fs::create_dir_all(folder).unwrap();
    git(folder, &["init", "-q", "-b", "main", "."]);
    fs::write(folder.join("one"), "1\n").unwrap();
    std::os::unix::fs::symlink("/elsewhere", folder.join("link")).unwrap();
    git(folder, &["add", "."]);
    git(folder, &["commit", "-q", "-m", "one"]);
    git(folder, &["tag", "-a", "v1", "-m", "first"]);
    let first = git(folder, &["rev-parse", "HEAD"]);
    git(folder, &["checkout", "-q", "-b", "side"]);
    fs::write(folder.join("two"), "2\n").unwrap();
    git(folder, &["add", "."]);
    git(folder, &["commit", "-q", "-m", "two"]);
    git(folder, &["checkout", "-q", "main"]);
    first
}

/// Builds a package of one repository; returns its folder, unpacked.
fn cloned(sandbox: &Sandbox, url: &str) -> std::path::PathBuf {
    sandbox.write(
        "pkg/jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata: {{name: demo, architecture: amd64}}\n\
             components:\n- name: r\n  repos: ['{url}']\n"
        ),
    );
    let said = sandbox.run(&["build", "pkg"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let to = sandbox.src().join("x");
    let archive = "dist/jackal-package-demo-amd64.tar.zst";
    let to_text = to.to_str().unwrap();
    if to.exists() {
        fs::remove_dir_all(&to).unwrap();
    }
    let said = sandbox.run(&["package", "extract", archive, "-o", to_text]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let plain = fs::read(to.join("components/r.tar")).unwrap();
    tar::Archive::new(&plain[..]).unpack(&to).unwrap();
    let mut repos = fs::read_dir(to.join("r/repos")).unwrap();
    repos.next().unwrap().unwrap().path()
}

#[test]
fn a_repository_is_cloned_as_its_reference_says() {
    let sandbox = Sandbox::new();
    let origin = sandbox.src().join("origin/repo");
    let first = repository(&origin);
    let url = format!("file://{}", origin.display());
    let branches = |clone: &Path| git(clone, &["branch", "--format=%(refname:short)"]);
    let tags = |clone: &Path| git(clone, &["tag"]);

    let all = cloned(&sandbox, &url);
    assert_eq!(git(&all, &["status", "--porcelain"]), "");
    assert_eq!(git(&all, &["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(
        (branches(&all).as_str(), tags(&all).as_str()),
        ("main\nside", "v1")
    );
    assert_eq!(git(&all, &["remote"]), "online-upstream");
    assert_eq!(
        fs::read_link(all.join("link")).unwrap(),
        Path::new("/elsewhere")
    );

    let tag = cloned(&sandbox, &format!("{url}@v1"));
    assert_eq!(
        git(&tag, &["symbolic-ref", "HEAD"]),
        "refs/heads/jackal-ref-v1"
    );
    assert_eq!(
        (branches(&tag).as_str(), tags(&tag).as_str()),
        ("jackal-ref-v1", "v1")
    );
    assert!(tag.join("one").exists() && !tag.join("two").exists());

    let side = cloned(&sandbox, &format!("{url}@refs/heads/side"));
    assert_eq!(
        (branches(&side).as_str(), tags(&side).as_str()),
        ("side", "")
    );
    assert!(side.join("two").exists());

    let commit = cloned(&sandbox, &format!("{url}@{first}"));
    assert_eq!(branches(&commit), format!("jackal-ref-{first}"));
    assert_eq!(git(&commit, &["rev-parse", "HEAD"]), first);
    git(&commit, &["fsck", "--strict"]);

    sandbox.write(
        "pkg/jackal.yaml",
        format!(
            "kind: JackalPackageConfig\nmetadata: {{name: demo}}\ncomponents:\n- name: r\n  repos: ['{url}@v9']\n"
        ),
    );
    let absent = sandbox.run(&["build", "pkg"]);
    assert_eq!(absent.code, Some(3), "{}", absent.stderr);
    assert!(
        absent.stderr.contains("has no refs/tags/v9"),
        "{}",
        absent.stderr
    );
}

#[test]
fn a_clone_is_reproducible_and_stays_at_its_pin() {
    let sandbox = Sandbox::new();
    let origin = sandbox.src().join("origin/repo");
    repository(&origin);
    let url = format!("file://{}@refs/heads/side", origin.display());
    cloned(&sandbox, &url);
    let archive = sandbox.src().join("dist/jackal-package-demo-amd64.tar.zst");
    let sum = || jackal::oci::Digest::of(&fs::read(&archive).unwrap());
    let first = sum();
    // The branch moves; the pin does not.
    git(&origin, &["checkout", "-q", "side"]);
    fs::write(origin.join("three"), "3\n").unwrap();
    git(&origin, &["add", "."]);
    git(&origin, &["commit", "-q", "-m", "three"]);
    fs::remove_dir_all(sandbox.cache()).unwrap();
    fs::remove_file(&archive).unwrap();
    // Other packs are still the same repository.
    git(&origin, &["gc", "-q"]);
    let said = sandbox.run(&["build", "pkg"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(sum(), first);
    let again = sandbox.run(&["build", "pkg", "--offline"]);
    assert!(again.stderr.starts_with("0 executed"), "{}", again.stderr);
    let said = sandbox.run(&["update", "pkg"]);
    let new = git(&origin, &["rev-parse", "side"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains(&new), "{}", said.stdout);
    let clone = cloned(&sandbox, &url);
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), new);
}

#[test]
fn parts_are_rebuilt_only_if_they_changed() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "chart/Chart.yaml",
        "apiVersion: v2\nname: web\nversion: 0.1.0\n",
    );
    sandbox.write("chart/values.yaml", "a: 1\n");
    sandbox.write("values.yaml", "b: 1\n");
    let archive = {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in [("t-1/bin/tool", "tool"), ("t-1/doc/a", "a")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o755);
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap()
    };
    sandbox.write("t.tar.zst", zstd::encode_all(&archive[..], 1).unwrap());
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: \"1.0.0\", architecture: amd64}\n\
         components:\n- name: c\n  charts:\n  - {name: web, version: 0.1.0, namespace: n, localPath: chart, valuesFiles: [values.yaml]}\n  \
         files:\n  - {source: t.tar.zst, target: /bin/tool, extractPath: t-1/bin/tool, executable: true}\n  \
         - {source: t.tar.zst, target: /doc, extractPath: t-1/doc}\n",
    );
    settle();
    assert_eq!(sandbox.executed().len(), 6);
    let tar = entries(&member(&sandbox.archive(), "components/c.tar"));
    let names: Vec<&str> = tar.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "c",
            "c/charts",
            "c/charts/web-0.1.0.tgz",
            "c/charts/web-0.1.0.tgz!web/Chart.yaml",
            "c/charts/web-0.1.0.tgz!web/values.yaml",
            "c/files",
            "c/files/0",
            "c/files/0/tool",
            "c/files/1",
            "c/files/1/doc",
            "c/files/1/doc/a",
            "c/values",
            "c/values/web-0.1.0-0",
        ]
    );
    assert_eq!(tar["c/files/0/tool"], (b'0', 0o700, b"tool".to_vec()));
    settle();
    assert!(sandbox.executed().is_empty());
    sandbox.write("chart/values.yaml", "a: 2\n");
    settle();
    let chart = "component:c:chart:web-0.1.0";
    let expected = ["component:c", chart, "package", "sbom:component:c"];
    assert_eq!(sandbox.executed(), expected);
    sandbox.write("values.yaml", "b: 2\n");
    settle();
    assert_eq!(sandbox.executed(), [expected[0], expected[2], expected[3]]);
}

#[test]
fn a_login_in_a_url_gets_into_no_clone_no_message_and_no_lock_file() {
    let (sandbox, server) = (Sandbox::new(), Server::start());
    let origin = sandbox.src().join("origin/repo");
    repository(&origin);
    git(&origin, &["update-server-info"]);
    let mut open = vec![origin.join(".git")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(origin.join(".git")).unwrap();
            let bytes = fs::read(&path).unwrap();
            server.put(
                &format!("/r.git/{}", name.display()),
                "text/plain",
                bytes.clone(),
            );
            if name == Path::new("info/refs") {
                let asked = "/r.git/info/refs?service=git-upload-pack";
                server.put(asked, "text/plain", bytes);
            }
        }
    }
    let url = format!("http://user:secret@127.0.0.1:{}/r.git", server.port);
    let clone = cloned(&sandbox, &format!("{url}@v1"));
    assert_eq!(fs::read_to_string(clone.join("one")).unwrap(), "1\n");
    let remote = git(&clone, &["remote", "get-url", "online-upstream"]);
    assert_eq!(remote, url.replace("user:secret@", ""));
    let lock = fs::read_to_string(sandbox.src().join("pkg/jackal.lock")).unwrap();
    assert!(
        lock.contains("r.git@v1") && !lock.contains("secret"),
        "{lock}"
    );
    for (wanted, flag) in [("v9", "--force"), ("v8", "--locked"), ("v7", "--offline")] {
        sandbox.write(
            "pkg/jackal.yaml",
            format!(
                "kind: JackalPackageConfig\nmetadata: {{name: demo, architecture: amd64}}\n\
                 components:\n- name: r\n  repos: ['{url}@{wanted}']\n"
            ),
        );
        let said = sandbox.run(&["build", "pkg", flag]);
        assert_ne!(said.code, Some(0));
        let told = said.stderr.contains(wanted) && !said.stderr.contains("secret");
        assert!(told, "{}", said.stderr);
    }
}

#[test]
fn images_are_read_from_archives_on_disk_without_a_registry() {
    let sandbox = Sandbox::new();
    let layout = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/demo/layout");
    copy(Path::new(layout), &sandbox.src().join("layout"));
    sandbox.write(
        "jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, version: \"1.0.0\", architecture: amd64}\n\
         components:\n- name: web\n  imageArchives:\n  - {path: layout, images: ['example.com/app:2.1']}\n",
    );
    settle();
    let said = sandbox.run(&["build", "--offline"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let index = member(&sandbox.archive(), "images/index.json");
    let index = String::from_utf8(index).unwrap();
    assert!(index.contains("example.com/app:2.1"), "{index}");
    let sboms = entries(&member(&sandbox.archive(), "sboms.tar"));
    assert!(sboms.contains_key("example.com_app_2.1.json"));
}

#[test]
fn an_address_that_would_run_a_program_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "pkg/jackal.yaml",
        "kind: JackalPackageConfig\nmetadata: {name: demo, architecture: amd64}\n\
         components:\n- name: r\n  repos: ['ext://host/path/repo.git']\n",
    );
    let said = sandbox.run(&["build", "pkg"]);
    assert_eq!(said.code, Some(4), "{}", said.stderr);
    assert!(said.stderr.contains("'ext' not allowed"), "{}", said.stderr);
}

#[test]
fn pointers_of_git_lfs_are_named_each_time() {
    let sandbox = Sandbox::new();
    let origin = sandbox.src().join("origin/repo");
    repository(&origin);
    let url = format!("file://{}", origin.display());
    let warned = || {
        sandbox.write(
            "pkg/jackal.yaml",
            format!(
                "kind: JackalPackageConfig\nmetadata: {{name: demo, architecture: amd64}}\n\
                 components:\n- name: r\n  repos: ['{url}']\n"
            ),
        );
        let built = sandbox.run(&["build", "pkg"]);
        assert_eq!(built.code, Some(0), "{}", built.stderr);
        built.stderr.contains("in Git LFS") && built.stderr.contains("deep/a.bin")
    };
    assert!(!warned());
    // Without a filter that is installed, Git keeps pointers as they are.
    fs::create_dir_all(origin.join("deep")).unwrap();
    fs::write(
        origin.join("deep/.gitattributes"),
        "*.bin filter=lfs -text\n",
    )
    .unwrap();
    fs::write(
        origin.join("deep/a.bin"),
        format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n",
            "7".repeat(64)
        ),
    )
    .unwrap();
    git(&origin, &["add", "."]);
    git(&origin, &["commit", "-q", "-m", "large"]);
    assert_eq!(sandbox.run(&["update", "pkg"]).code, Some(0));
    assert!(warned() && warned());
}

#[test]
fn pointers_of_git_lfs_are_not_packed_for_files() {
    let sandbox = Sandbox::new();
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n",
        "7".repeat(64)
    );
    sandbox.write(
        "chart/Chart.yaml",
        "apiVersion: v2\nname: c\nversion: 1.0.0\n",
    );
    for (file, part) in [
        ("f.bin", "files: [{source: f.bin, target: /f}]"),
        ("d/deep/f.bin", "files: [{source: d, target: /f}]"),
        (
            "m.yaml",
            "manifests: [{name: m, namespace: n, files: [m.yaml]}]",
        ),
        (
            "chart/files/f.bin",
            "charts: [{name: c, version: 1.0.0, namespace: n, localPath: chart}]",
        ),
    ] {
        sandbox.write(file, &pointer[..]);
        sandbox.write(
            "jackal.yaml",
            format!(
                "kind: JackalPackageConfig\nmetadata: {{name: demo, architecture: amd64}}\n\
                 components:\n- name: r\n  {part}\n"
            ),
        );
        let built = sandbox.run(&["build"]);
        assert_eq!(built.code, Some(3), "{}", built.stderr);
        let expected = format!("`{file}` is a Git LFS pointer");
        assert!(built.stderr.contains(&expected), "{}", built.stderr);
    }
}
