//! The matrix of earlier forms: `tests/compat/matrix.yaml`, run on real and on generated
//! packages, and the page of it in the documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use jackal::yaml::{self, Node, SourceText};

use super::older::{at, entries, jackal, published, text};

const MATRIX: &str = include_str!("../compat/matrix.yaml");
const PAGE: &str = "docs/spec/compatibility.md";

struct Matrix {
    /// Name and command line.
    operations: Vec<(String, String)>,
    rows: Vec<Row>,
}

struct Row {
    format: String,
    stored: String,
    verdicts: Vec<String>,
}

fn scalar(node: &Node, key: &str) -> String {
    node.get(key).unwrap().scalar().unwrap().to_owned()
}

fn matrix() -> Matrix {
    let source = SourceText::new("matrix.yaml", MATRIX);
    let root = yaml::parse_only(&source).unwrap().unwrap();
    let lines = MATRIX.lines().skip_while(|line| *line != "operations:");
    let lines = lines.skip(1).take_while(|line| line.starts_with("  "));
    let operations = lines.map(|line| {
        let (name, command) = line.trim().split_once(": ").unwrap();
        assert_eq!(scalar(root.get("operations").unwrap(), name), command);
        (name.to_owned(), command.to_owned())
    });
    let operations: Vec<_> = operations.collect();
    let rows = root.get("rows").unwrap().items().iter().map(|row| {
        let verdicts = scalar(row, "verdicts");
        let verdicts: Vec<_> = verdicts.split_whitespace().map(str::to_owned).collect();
        assert_eq!(verdicts.len(), operations.len());
        Row {
            format: scalar(row, "format"),
            stored: scalar(row, "stored"),
            verdicts,
        }
    });
    let rows = rows.collect();
    Matrix { operations, rows }
}

/// A package made by the real program, if there is one.
fn real(row: &Row, home: &Path) -> Option<String> {
    let version = match row.format.as_str() {
        "v0.22" => "v0.22.2",
        "v0.24" => "v0.24.3",
        "v0.25.0" => "v0.25.0",
        "v0.27" => "v0.27.1",
        "v0.29" => "v0.29.2",
        _ => return None,
    };
    if row.stored == "registry" {
        return Some(published(version, home));
    }
    let found = fs::read_dir(at(version)).unwrap();
    let mut names = found.map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.to_str().unwrap().contains("-old-");
    names
        .find(named)
        .map(|path| path.to_str().unwrap().to_owned())
}

/// A package in today's form: of v0.29.2, whose files have not changed since.
fn todays() -> PathBuf {
    at("v0.29.2/zarf-package-old-amd64-0.1.0.tar.zst")
}

/// A package of the form `format` and what it published, made of `source`.
fn made(home: &Path, source: &Path, format: &str) -> (PathBuf, String) {
    let folder = home.join(format!("made-{format}"));
    let to = folder.to_str().unwrap();
    let args = [
        "dev",
        "make-legacy",
        source.to_str().unwrap(),
        "--format",
        format,
        "-o",
        to,
    ];
    let output = jackal(home, &args);
    assert!(
        output.status.success(),
        "{format}: {}",
        text(&output.stderr)
    );
    let error = text(&output.stderr);
    let published = error
        .lines()
        .find_map(|line| line.split_once("published: "));
    let published = published
        .map(|(_, name)| name.to_owned())
        .unwrap_or_default();
    (PathBuf::from(text(&output.stdout).trim()), published)
}

fn generated(row: &Row, home: &Path) -> String {
    let (archive, published) = made(home, &todays(), &row.format);
    match row.stored.as_str() {
        "registry" => published,
        _ => archive.to_str().unwrap().to_owned(),
    }
}

fn verdict(code: Option<i32>, error: &str) -> &'static str {
    match code {
        Some(0) if error.contains("warning: no checksums") => "warns",
        Some(0) if error.contains(": no checksums: ") => "warns",
        Some(0) => "ok",
        Some(2) => "unfit",
        Some(5) if error.contains("jackal package migrate") => "refused",
        Some(5) if error.contains("not signed") => "unsigned",
        _ => "other",
    }
}

/// Tries every operation on a package of the form of `row`.
fn run(matrix: &Matrix, row: &Row, package: &str, home: &Path) {
    for (number, (_, command)) in matrix.operations.iter().enumerate() {
        let folder = home.join(format!("out-{number}"));
        let _ = fs::remove_dir_all(&folder);
        let args: Vec<String> = command
            .split(' ')
            .map(|word| match word {
                "PACKAGE" => package.to_owned(),
                "MIGRATED" => {
                    let before = home.join(format!("out-{}", number - 1));
                    let mut made = fs::read_dir(before).unwrap();
                    made.next()
                        .unwrap()
                        .unwrap()
                        .path()
                        .to_str()
                        .unwrap()
                        .to_owned()
                }
                "KEY" if command.contains("--key") => "keys/cosign.pub".to_owned(),
                "KEY" => "keys/cosign.key".to_owned(),
                word => word.replace("DIR", folder.to_str().unwrap()),
            })
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = jackal(home, &args);
        let error = text(&output.stderr);
        assert!(!error.contains("panicked"), "{args:?}: {error}");
        let seen = verdict(output.status.code(), &error);
        let about = (&row.format, &row.stored, args);
        assert_eq!(seen, row.verdicts[number], "{about:?}: {error}");
    }
}

#[test]
fn every_operation_on_every_form_ends_as_the_matrix_says() {
    let matrix = matrix();
    for row in &matrix.rows {
        let home = tempfile::tempdir().unwrap();
        jackal(home.path(), &["tools", "gen-key", "-o", "keys"]);
        let packages = [real(row, home.path()), Some(generated(row, home.path()))];
        for package in packages.into_iter().flatten() {
            run(&matrix, row, &package, home.path());
        }
    }
}

#[test]
fn a_wrong_verdict_is_noticed() {
    assert_eq!(verdict(Some(0), "warning: no checksums: x"), "warns");
    assert_eq!(verdict(Some(0), ""), "ok");
    assert_eq!(verdict(Some(1), ""), "other");
    assert_eq!(verdict(Some(5), "x"), "other");
}

#[test]
fn the_page_of_the_matrix_is_true() {
    let matrix = matrix();
    let mut page = String::from(
        "# Compatibility\n\nWhat `jackal` does with packages of every earlier form ([Earlier forms](package.md#earlier-forms)). This page is made of\n`tests/compat/matrix.yaml`; a test runs it on packages of the real programs and on those of `jackal dev make-legacy`.\n\n- `ok`: it works\n- `warns`: it works, with the warning that there are no checksums\n- `refused`: exit code 5; there are no checksums, and the message names `jackal package migrate`\n- `unsigned`: exit code 5; the package has no signature\n- `unfit`: exit code 2; not for packages that are stored so\n\n",
    );
    let names: Vec<&str> = matrix
        .operations
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    writeln!(page, "| format | stored | {} |", names.join(" | ")).unwrap();
    writeln!(page, "|{}", " --- |".repeat(names.len() + 2)).unwrap();
    for row in &matrix.rows {
        let verdicts = row.verdicts.join(" | ");
        writeln!(page, "| {} | {} | {verdicts} |", row.format, row.stored).unwrap();
    }
    page.push_str("\n| operation | command |\n| --- | --- |\n");
    for (name, command) in &matrix.operations {
        writeln!(page, "| {name} | `jackal {command}` |").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("INSTA_UPDATE").is_some_and(|how| how == "always") {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, page, "make it again with INSTA_UPDATE=always");
}

/// Names, types and modes of the entries of an archive, and what is in them, except for the
/// first folder and for what differs between any two runs of a program.
fn comparable(path: &Path) -> BTreeMap<String, (u8, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for (name, kind, mode, _, content) in entries(path) {
        let name = name.trim_end_matches('/').to_owned();
        // The folder that it was packed in, pages of a viewer, and Git's own files.
        if name.starts_with("zarf-") || name.ends_with(".html") || name.contains("/.git/") {
            continue;
        }
        let differs = [
            ".tgz",
            ".json",
            "zarf.yaml",
            "images.tar",
            "sboms.tar",
            "checksums.txt",
        ];
        let differs = differs.iter().any(|end| name.ends_with(end));
        if name.starts_with("components/") && name.ends_with(".tar") {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &content).unwrap();
            for (inner, entry) in comparable(file.path()) {
                found.insert(format!("{name}: {inner}"), entry);
            }
        }
        let is_tar = name.ends_with(".tar");
        let content = if differs || is_tar {
            Vec::new()
        } else {
            content
        };
        let kind = if kind == 0 { b'0' } else { kind };
        found.insert(name, (kind, mode, content));
    }
    found
}

/// Modes that old programs gave to files of the image layout by chance.
fn without_modes_of_images(
    mut found: BTreeMap<String, (u8, u32, Vec<u8>)>,
) -> BTreeMap<String, (u8, u32, Vec<u8>)> {
    for (name, entry) in &mut found {
        if name.starts_with("images") || name.ends_with("/repos") {
            entry.1 = 0;
        }
    }
    // Folders are not entries of what jackal packs outside of components.
    found.retain(|name, entry| entry.0 != b'5' || name.contains("components/"));
    found
}

#[test]
fn generated_packages_have_the_entries_of_the_real_ones() {
    let home = tempfile::tempdir().unwrap();
    for (format, fixture) in [
        ("v0.22", "v0.22.2/zarf-package-old-amd64.tar.zst"),
        ("v0.24", "v0.24.3/zarf-package-old-amd64-0.1.0.tar.zst"),
        ("v0.25.0", "v0.25.0/zarf-package-old-amd64-0.1.0.tar.zst"),
        ("v0.27", "v0.27.1/zarf-package-old-amd64-0.1.0.tar.zst"),
        ("v0.29", "v0.29.2/zarf-package-old-amd64-0.1.0.tar.zst"),
    ] {
        let (archive, published) = made(home.path(), &todays(), format);
        assert_eq!(archive.file_name(), at(fixture).file_name(), "{format}");
        let ours = without_modes_of_images(comparable(&archive));
        let mut theirs = without_modes_of_images(comparable(&at(fixture)));
        if format == "v0.22" {
            // It named no SBOM after the files of a component.
            theirs
                .entry("sboms/zarf-component-files.json".to_owned())
                .or_insert((b'0', 0o644, Vec::new()));
        }
        assert_eq!(ours, theirs, "{format}");
        assert_eq!(published.is_empty(), format < "v0.25", "{format}");
        if !published.is_empty() {
            let version = fixture.split('/').next().unwrap();
            let real = super::older::published(version, home.path());
            assert_eq!(manifest(&published), manifest(&real), "{format}");
        }
    }
}

/// Types and titles of a published package.
fn manifest(name: &str) -> Vec<String> {
    let folder = name.split(':').nth(1).unwrap();
    let read = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let index = read(Path::new(folder).join("index.json"));
    let top = &index["manifests"][0];
    let digest = top["digest"].as_str().unwrap().replace(':', "/");
    let manifest = read(Path::new(folder).join("blobs").join(digest));
    let mut found = vec![
        top["annotations"]["org.opencontainers.image.ref.name"].to_string(),
        manifest["config"]["mediaType"].to_string(),
    ];
    let layers = manifest["layers"].as_array().unwrap().iter();
    let mut layers: Vec<String> = layers
        .map(|layer| {
            format!(
                "{} {}",
                layer["annotations"]["org.opencontainers.image.title"], layer["mediaType"]
            )
        })
        .collect();
    layers.sort();
    found.extend(layers);
    let annotations = manifest["annotations"].as_object().unwrap();
    found.extend(annotations.keys().cloned());
    found
}
