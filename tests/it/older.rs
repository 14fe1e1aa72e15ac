//! Packages of earlier programs: real ones of v0.22.2 to v0.29.2, and damaged ones.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const OLD: &str = "tests/fixtures/old";

/// Every archive of an earlier program, and whether it has checksums.
pub const ARCHIVES: [(&str, bool); 9] = [
    ("v0.22.2/zarf-package-acts-amd64.tar", false),
    ("v0.22.2/zarf-package-old-amd64.tar.zst", false),
    ("v0.24.3/zarf-package-acts-amd64-0.1.0.tar", false),
    ("v0.24.3/zarf-package-old-amd64-0.1.0.tar.zst", false),
    (
        "jackal-from-v0.24.3/jackal-package-acts-amd64-0.1.0.tar",
        false,
    ),
    (
        "jackal-from-v0.24.3/jackal-package-old-amd64-0.1.0.tar.zst",
        false,
    ),
    ("v0.25.0/zarf-package-old-amd64-0.1.0.tar.zst", false),
    ("v0.27.1/zarf-package-old-amd64-0.1.0.tar.zst", true),
    ("v0.29.2/zarf-package-old-amd64-0.1.0.tar.zst", true),
];

/// Those that were published, unpacked as image layouts.
pub const PUBLISHED: [(&str, bool); 3] = [("v0.25.0", false), ("v0.27.1", true), ("v0.29.2", true)];

pub fn at(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(OLD).join(name)
}

pub fn jackal(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jackal"))
        .args(args)
        .env_clear()
        .env("HOME", home)
        .env("COSIGN_PASSWORD", "")
        .current_dir(home)
        .output()
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn good(home: &Path, args: &[&str]) -> Output {
    let output = jackal(home, args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        text(&output.stderr)
    );
    output
}

/// Unpacks a published package; returns its name.
pub fn published(version: &str, into: &Path) -> String {
    let folder = into.join(format!("published-{version}"));
    let packed = File::open(at(&format!("{version}/published.oci-layout.tar.zst"))).unwrap();
    let decoder = zstd::stream::read::Decoder::new(packed).unwrap();
    tar::Archive::new(decoder).unpack(&folder).unwrap();
    format!("oci-layout:{}:0.1.0-amd64", folder.display())
}

/// The entries of a compressed or plain archive: name, type, mode, target, content.
pub fn entries(path: &Path) -> Vec<(String, u8, u32, String, Vec<u8>)> {
    let mut bytes = fs::read(path).unwrap();
    if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        bytes = zstd::decode_all(&bytes[..]).unwrap();
    }
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        let name = text(&entry.path_bytes());
        let link = entry.link_name_bytes().map(|link| text(&link));
        let (kind, mode) = (entry.header().entry_type().as_byte(), entry.header().mode());
        entry.read_to_end(&mut content).unwrap();
        let mode = mode.unwrap() & 0o777;
        found.push((name, kind, mode, link.unwrap_or_default(), content));
    }
    found
}

/// Writes an archive of `entries`; a target makes a link, and `None` a folder.
fn pack(path: &Path, entries: &[(&str, Option<&[u8]>, &str)]) {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content, link) in entries {
        let mut header = tar::Header::new_gnu();
        let kind = match (content, *link) {
            (None, "") => tar::EntryType::Directory,
            (None, _) => tar::EntryType::Symlink,
            (Some(_), _) => tar::EntryType::Regular,
        };
        header.set_entry_type(kind);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_size(content.map_or(0, |content| content.len() as u64));
        header.set_mode(0o644);
        header.set_cksum();
        builder
            .append(&header, content.unwrap_or_default())
            .unwrap();
    }
    fs::write(path, builder.into_inner().unwrap()).unwrap();
}

const DEFINITION: &[u8] = b"kind: ZarfPackageConfig
metadata:
  name: p
  version: 1.0.0
build:
  architecture: amd64
  version: v0.24.3
components:
- name: c
  required: true
  files:
  - source: a
    target: a
";

fn with_version(version: &str) -> Vec<u8> {
    String::from_utf8_lossy(DEFINITION)
        .replace("v0.24.3", version)
        .into_bytes()
}

#[test]
fn every_archive_is_read_and_what_has_no_checksums_is_said_to_have_none() {
    let home = tempfile::tempdir().unwrap();
    for (name, has_checksums) in ARCHIVES {
        let path = at(name);
        let path = path.to_str().unwrap();
        let output = good(home.path(), &["package", "verify", path]);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(out.contains("verified"), has_checksums, "{name}: {out}");
        assert_eq!(
            err.contains("no checksums"),
            !has_checksums,
            "{name}: {err}"
        );
        let json = good(home.path(), &["package", "verify", "--json", path]);
        assert_eq!(
            text(&json.stdout).contains("aggregateChecksum"),
            has_checksums
        );
        let shown = good(home.path(), &["package", "inspect", path]);
        let inside = entries(&at(name));
        let definition = inside
            .iter()
            .find(|entry| entry.0.ends_with(".yaml") && !entry.0.contains('/'));
        assert_eq!(text(&shown.stdout), text(&definition.unwrap().4), "{name}");
        let files = good(home.path(), &["package", "inspect", "files", path]);
        assert!(text(&files.stdout).contains("components/"), "{name}");
    }
}

#[test]
fn images_and_sboms_of_every_archive_are_found() {
    let home = tempfile::tempdir().unwrap();
    for (name, _) in ARCHIVES.iter().filter(|(name, _)| name.contains("-old-")) {
        let path = at(name);
        let path = path.to_str().unwrap();
        let images = good(home.path(), &["package", "inspect", "images", path]);
        for image in ["127.0.0.1:5077/team/api:2.0", "127.0.0.1:5077/team/web:1.4"] {
            assert!(text(&images.stdout).contains(image), "{name}");
        }
        let out = home.path().join("sboms");
        let to = out.to_str().unwrap();
        good(home.path(), &["package", "inspect", "sbom", path, "-o", to]);
        let document = out.join("old/127.0.0.1_5077_team_web_1.4.json");
        assert!(
            text(&fs::read(&document).unwrap()).contains("musl"),
            "{name}"
        );
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn folders_become_tars_with_the_same_files_and_modes() {
    let home = tempfile::tempdir().unwrap();
    let name = "v0.24.3/zarf-package-old-amd64-0.1.0.tar.zst";
    let to = home.path().join("out");
    good(
        home.path(),
        &[
            "package",
            "extract",
            at(name).to_str().unwrap(),
            "-o",
            to.to_str().unwrap(),
        ],
    );
    let trimmed = |name: &str| name.trim_end_matches('/').to_owned();
    let mut expected: Vec<_> = entries(&at(name))
        .into_iter()
        .filter_map(|(name, kind, mode, link, content)| {
            let name = trimmed(name.strip_prefix("components/").filter(|n| !n.is_empty())?);
            Some((name, kind, mode, link, content))
        })
        .collect();
    expected.sort();
    let mut found = Vec::new();
    for component in ["app", "files", "git"] {
        found.extend(entries(&to.join(format!("components/{component}.tar"))));
    }
    found.sort();
    assert_eq!(found, expected);
    let mut layers = Vec::new();
    for entry in fs::read_dir(to.join("images/blobs/sha256")).unwrap() {
        layers.push(entry.unwrap().file_name().into_string().unwrap());
    }
    for digest in ["0c1435e8", "71a21765", "cfe3716c", "c2dd5c3d"] {
        assert!(
            layers.iter().any(|name| name.starts_with(digest)),
            "{digest}"
        );
    }
    assert!(!to.join("images.tar").exists());
}

#[test]
fn packages_without_checksums_are_refused_where_trust_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    good(home.path(), &["tools", "gen-key", "-o", "keys"]);
    for (name, _) in ARCHIVES.iter().filter(|(_, has_checksums)| !has_checksums) {
        let path = at(name);
        let path = path.to_str().unwrap();
        let output = jackal(
            home.path(),
            &["package", "verify", path, "--key", "keys/cosign.pub"],
        );
        assert_eq!(output.status.code(), Some(5), "{name}");
        assert!(text(&output.stderr).contains("package migrate"), "{name}");
        let layout = format!("oci-layout:{}", home.path().join("layout").display());
        let output = jackal(home.path(), &["package", "publish", path, &layout]);
        assert_eq!(
            output.status.code(),
            Some(5),
            "{name}: {}",
            text(&output.stderr)
        );
        assert!(text(&output.stderr).contains("package migrate"), "{name}");
    }
}

#[test]
fn a_newer_version_an_unknown_one_and_a_signature_need_checksums() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("p.tar");
    let verify = || jackal(home.path(), &["package", "verify", path.to_str().unwrap()]);
    for (version, code) in [
        ("v0.24.3", 0),
        ("0.25.0", 0),
        ("v0.25.1", 5),
        ("v0.32.0", 5),
        ("UnknownVersion", 5),
    ] {
        pack(
            &path,
            &[
                ("components/c/files/0", Some(b"a"), ""),
                ("zarf.yaml", Some(&with_version(version)), ""),
            ],
        );
        let output = verify();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{version}: {error}");
        assert_eq!(
            error.contains("checksums.txt is missing"),
            code != 0,
            "{error}"
        );
    }
    pack(
        &path,
        &[
            ("components/c/files/0", Some(b"a"), ""),
            ("zarf.yaml", Some(DEFINITION), ""),
            ("zarf.yaml.sig", Some(b"x"), ""),
        ],
    );
    assert_eq!(verify().status.code(), Some(5));
}

#[test]
fn hostile_folders_are_refused_and_nothing_is_written_outside() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("p.tar");
    let file = ("components/c/files/0", Some(&b"a"[..]), "");
    let definition = ("zarf.yaml", Some(DEFINITION), "");
    type Extra<'e> = (&'e str, Option<&'e [u8]>, &'e str);
    let cases: [(&[Extra<'_>], &str); 9] = [
        (&[("components/c/../../../x", Some(b""), "")], "leads out"),
        (&[("components/c/files/0", Some(b"b"), "")], "two entries"),
        (&[("components/c/files/0/x", Some(b"b"), "")], "two entries"),
        (&[("components/c.tar", Some(b"b"), "")], "two entries"),
        (&[("sboms/a", None, "/etc")], "link"),
        (&[("link", None, "/etc")], "link"),
        (&[("images.tar", Some(b"x"), "")], "images.tar"),
        (
            &[("sboms/x", Some(b""), ""), ("sboms.tar", Some(b""), "")],
            "two entries",
        ),
        (&[("a\u{1b}[2J", Some(b""), "")], "leads out"),
    ];
    for (more, part) in cases {
        let all: Vec<_> = [&[file, definition], more].concat();
        pack(&path, &all);
        let to = home.path().join("out");
        let args = [
            "package",
            "extract",
            path.to_str().unwrap(),
            "-o",
            to.to_str().unwrap(),
        ];
        let output = jackal(home.path(), &args);
        let error = text(&output.stderr);
        assert!(!output.status.success(), "{part}");
        assert!(error.contains(part), "{part} not in {error}");
        assert!(!to.exists(), "{part}");
    }
    let mut names: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.retain(|name| name != "p.tar" && name != ".cache" && name != ".jackal");
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_link_in_a_component_stays_a_link() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("p.tar");
    pack(
        &path,
        &[
            ("components/c/files/0", Some(b"a"), ""),
            (
                "components/c/repos/r/link",
                None,
                "../../../../../etc/passwd",
            ),
            ("zarf.yaml", Some(DEFINITION), ""),
        ],
    );
    let to = home.path().join("out");
    good(
        home.path(),
        &[
            "package",
            "extract",
            path.to_str().unwrap(),
            "-o",
            to.to_str().unwrap(),
        ],
    );
    let found = entries(&to.join("components/c.tar"));
    let link = found
        .iter()
        .find(|entry| entry.0 == "c/repos/r/link")
        .unwrap();
    assert_eq!((link.1, &*link.3), (b'2', "../../../../../etc/passwd"));
}

#[test]
fn images_whose_bytes_differ_from_their_names_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let inside = entries(&at("v0.24.3/zarf-package-old-amd64-0.1.0.tar.zst"));
    let images = &inside
        .iter()
        .find(|entry| entry.0 == "images.tar")
        .unwrap()
        .4;
    let path = home.path().join("p.tar");
    let verify = |images: &[u8]| {
        pack(
            &path,
            &[
                ("components/c/files/0", Some(b"a"), ""),
                ("images.tar", Some(images), ""),
                ("zarf.yaml", Some(DEFINITION), ""),
            ],
        );
        let output = jackal(home.path(), &["package", "verify", path.to_str().unwrap()]);
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(verify(images).0, Some(0));
    // A byte of every block: of headers, configurations, layers and the list.
    let mut refused = 0;
    for at in (0..images.len()).step_by(256) {
        let mut damaged = images.clone();
        damaged[at] ^= 0x55;
        let (code, error) = verify(&damaged);
        assert!(!error.contains("panicked"), "{at}: {error}");
        refused += u32::from(code != Some(0));
    }
    assert!(refused >= 10, "{refused}");
    let (code, error) = verify(&images[..1000]);
    assert!(code != Some(0) && error.contains("images.tar"), "{error}");
}

#[test]
fn published_packages_are_read_pulled_and_copied() {
    let home = tempfile::tempdir().unwrap();
    for (version, has_checksums) in PUBLISHED {
        let name = published(version, home.path());
        let output = good(home.path(), &["package", "verify", &name]);
        let out = text(&output.stdout);
        assert_eq!(out.contains("verified"), has_checksums, "{version}: {out}");
        let shown = good(home.path(), &["package", "inspect", &name]);
        assert!(text(&shown.stdout).contains(&format!("version: {version}")));
        let to = home.path().join(version);
        good(
            home.path(),
            &["package", "pull", &name, "-o", to.to_str().unwrap()],
        );
        let pulled = to.join("zarf-package-old-amd64-0.1.0.tar.zst");
        good(
            home.path(),
            &["package", "verify", pulled.to_str().unwrap()],
        );
        let difference = good(
            home.path(),
            &["package", "diff", &name, pulled.to_str().unwrap()],
        );
        assert!(
            !text(&difference.stdout).contains("components/"),
            "{version}"
        );
        let layout = format!("oci-layout:{}", home.path().join("copy").display());
        let output = jackal(home.path(), &["package", "publish", &name, &layout]);
        let code = if has_checksums { Some(0) } else { Some(5) };
        assert_eq!(
            output.status.code(),
            code,
            "{version}: {}",
            text(&output.stderr)
        );
        let _ = fs::remove_dir_all(home.path().join("copy"));
    }
}

fn migrated(home: &Path, source: &str, to: &str) -> PathBuf {
    let output = good(home, &["package", "migrate", source, "-o", to]);
    home.join(text(&output.stdout).trim())
}

fn definition(home: &Path, source: &str) -> String {
    text(&good(home, &["package", "inspect", source]).stdout)
}

/// Names, links and content of the files of all components, by the names of today.
fn parts(home: &Path, package: &Path, version: &str) -> Vec<(String, String, Vec<u8>)> {
    let older_repo = match version.contains("v0.24") {
        true => "repo-263061042",
        false => "repo-297096851",
    };
    let to = home.join("parts");
    let (from, out) = (package.to_str().unwrap(), to.to_str().unwrap());
    good(home, &["package", "extract", from, "-o", out]);
    let mut found = Vec::new();
    for entry in fs::read_dir(to.join("components")).unwrap() {
        for (name, kind, _, link, content) in entries(&entry.unwrap().path()) {
            if kind != b'5' {
                let name = name
                    .replace("files/0/a.txt", "files/0")
                    .replace("files/1/run.sh", "files/1")
                    .replace("manifests/mani-0.yaml", "manifests/manifests/cm.yaml")
                    .replace("repo-3625710818", older_repo)
                    .replace("repo-3268601431", "repo-263061042")
                    .replace("repo-297096851", older_repo);
                found.push((name, link, content));
            }
        }
    }
    found.sort();
    // One clone served both URLs in v0.24.
    found.dedup();
    fs::remove_dir_all(&to).unwrap();
    found
}

#[test]
fn migrated_packages_have_the_same_files_and_are_the_same_twice() {
    let home = tempfile::tempdir().unwrap();
    for (name, has_checksums) in ARCHIVES {
        let source = at(name);
        let source = source.to_str().unwrap();
        let made = migrated(home.path(), source, "one");
        let again = migrated(home.path(), source, "two");
        assert_eq!(
            fs::read(&made).unwrap(),
            fs::read(&again).unwrap(),
            "{name}"
        );
        let path = made.to_str().unwrap();
        let output = good(home.path(), &["package", "verify", path]);
        assert!(text(&output.stdout).contains("verified"), "{name}");
        assert!(!text(&output.stderr).contains("warning"), "{name}");
        let (before, after) = (
            definition(home.path(), source),
            definition(home.path(), path),
        );
        assert_eq!(
            after.contains("- checksums-added\n"),
            !has_checksums,
            "{after}"
        );
        let kept = |line: &&str| {
            let line = line.trim();
            !line.starts_with("aggregateChecksum")
                && !line.starts_with("- ")
                && line != "migrations:"
        };
        let lines =
            |text: &str| -> Vec<String> { text.lines().filter(kept).map(str::to_owned).collect() };
        assert_eq!(lines(&before), lines(&after), "{name}");
        assert_eq!(
            parts(home.path(), Path::new(source), name),
            parts(home.path(), &made, name),
            "{name}"
        );
        let (one, two) = (home.path().join("one"), home.path().join("two"));
        fs::remove_dir_all(one).unwrap();
        fs::remove_dir_all(two).unwrap();
    }
}

#[test]
fn migrated_parts_have_the_names_of_today() {
    let home = tempfile::tempdir().unwrap();
    let source = at("v0.24.3/zarf-package-old-amd64-0.1.0.tar.zst");
    let made = migrated(home.path(), source.to_str().unwrap(), "new.tar.zst");
    let to = home.path().join("out");
    good(
        home.path(),
        &[
            "package",
            "extract",
            made.to_str().unwrap(),
            "-o",
            to.to_str().unwrap(),
        ],
    );
    let names = |component: &str| -> Vec<String> {
        let found = entries(&to.join(format!("components/{component}.tar")));
        found.into_iter().map(|entry| entry.0).collect()
    };
    assert_eq!(
        names("files"),
        [
            "files",
            "files/files",
            "files/files/0",
            "files/files/0/a.txt",
            "files/files/1",
            "files/files/1/run.sh"
        ]
    );
    assert_eq!(
        names("app"),
        [
            "app",
            "app/charts",
            "app/charts/mychart-0.1.0.tgz",
            "app/manifests",
            "app/manifests/mani-0.yaml",
            "app/values",
            "app/values/mychart-0.1.0-0"
        ]
    );
    // One clone served both URLs.
    for folder in ["repo-3625710818", "repo-3268601431"] {
        let name = format!("git/repos/{folder}/.git/HEAD");
        assert!(names("git").contains(&name), "{name}");
    }
}

#[test]
fn migrated_packages_are_published_and_nothing_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    for version in ["v0.25.0", "v0.27.1"] {
        let source = published(version, home.path());
        let to = format!("oci-layout:{}", home.path().join(version).display());
        good(home.path(), &["package", "migrate", &source, &to]);
        let made = format!("{to}:0.1.0");
        let output = good(home.path(), &["package", "verify", &made]);
        assert!(text(&output.stdout).contains("verified"), "{version}");
    }
    let source = at("v0.25.0/zarf-package-old-amd64-0.1.0.tar.zst");
    let args = ["package", "migrate", source.to_str().unwrap()];
    good(home.path(), &args);
    let output = jackal(home.path(), &args);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
