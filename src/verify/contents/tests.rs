use std::convert::Infallible;

use serde_json::{Value, json};

use super::*;
use crate::archive::{TarWriter, list};
use crate::package::Dialect;
use crate::verify::{Check as Wanted, Evidence, Policy, Scope, verify};

/// The files of a package, to be changed before it is judged.
#[derive(Clone, Default)]
struct Package {
    definition: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl Contents for Package {
    type Error = Infallible;

    fn documents(
        &mut self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, Infallible> {
        let files = self.files.iter().filter(|(name, _)| names.contains(*name));
        Ok(files.map(|(n, bytes)| (n.clone(), bytes.clone())).collect())
    }

    fn listings(
        &mut self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Listing>, Infallible> {
        let read = |name: &String| {
            let listing = list(&self.files[name][..], Dialect::tar_contents(name).unwrap());
            (name.clone(), listing)
        };
        Ok(names.iter().map(read).collect())
    }
}

impl Package {
    fn blob(&mut self, kind: &str, bytes: &[u8]) -> Value {
        let descriptor = Descriptor::of(kind, bytes);
        let path = format!("{BLOBS}{}", descriptor.digest.hex());
        self.files.insert(path, bytes.to_vec());
        serde_json::to_value(descriptor).unwrap()
    }

    fn image(&mut self, layer: &[u8], name: &str) -> Value {
        let config = self.blob(media_type::CONFIG, b"{}");
        let layer = self.blob(media_type::LAYER, layer);
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": config, "layers": [layer]});
        let mut image = self.blob(media_type::MANIFEST, manifest.to_string().as_bytes());
        image["annotations"] = json!({NAMES[0]: name});
        image
    }

    fn index(&mut self, images: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": images}).to_string();
        self.files.insert(INDEX.into(), index.into_bytes());
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        self.files.insert(MARKER.into(), marker.to_vec());
    }

    /// What is wrong with the package, a line each.
    fn refusals(mut self) -> String {
        let lines = self.files.iter();
        let lines = lines.map(|(name, bytes)| format!("{} {name}", Digest::of(bytes).hex()));
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        let checksums = lines.join("\n") + "\n";
        let definition = format!(
            "kind: JackalPackageConfig\nmetadata:\n  name: demo\n  aggregateChecksum: {}\n{}",
            Digest::of(checksums.as_bytes()).hex(),
            self.definition
        );
        let files = self.files.iter();
        let evidence = Evidence {
            definition: Some((Dialect::Jackal, definition.into_bytes())),
            checksums: Some(checksums.into_bytes()),
            files: files
                .map(|(name, bytes)| (name.clone(), (Digest::of(bytes), bytes.len() as u64)))
                .collect(),
            ..Evidence::default()
        };
        let policy = Policy::without_signers(Wanted::Look);
        let package = verify(evidence, Scope::Whole, &policy).unwrap();
        let Ok(refusals) = check_contents(&package, &mut self);
        let refusals: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        refusals.join("\n")
    }
}

const NAME: &str = "docker.io/library/app:1";

fn with_image() -> (Package, Value) {
    let mut package = Package {
        definition: "components:\n- name: a\n  images: [app:1]\n".into(),
        ..Package::default()
    };
    let image = package.image(b"layer", NAME);
    package.index(std::slice::from_ref(&image));
    (package, image)
}

/// Removes the blob that `is` fits.
fn without(package: &mut Package, is: impl Fn(&[u8]) -> bool) {
    package
        .files
        .retain(|name, bytes| !(name.starts_with(BLOBS) && is(bytes)));
}

#[test]
fn a_sound_image_passes_by_every_name_that_packages_use() {
    assert_eq!(with_image().0.refusals(), "");
    for name in ["library/app:1", "app:1"] {
        let (mut package, _) = with_image();
        package.files.clear();
        let image = package.image(b"layer", name);
        package.index(&[image]);
        assert_eq!(package.refusals(), "", "{name}");
    }
    // An index with all its children, and two names of one image.
    let (mut package, image) = with_image();
    let other = package.image(b"other", NAME);
    let nested = json!({"schemaVersion": 2, "manifests": [image.clone(), other]});
    let mut nested = package.blob(media_type::INDEX, nested.to_string().as_bytes());
    nested["annotations"] = json!({NAMES[1]: "ghcr.io/a/b:2"});
    let mut again = image.clone();
    again["annotations"] = json!({NAMES[0]: "docker.io/library/app:2"});
    package.index(&[image, again, nested]);
    assert_eq!(package.refusals(), "");
}

#[test]
fn blobs_that_are_missing_or_of_another_size_are_named() {
    let (mut package, _) = with_image();
    without(&mut package, |bytes| bytes == b"layer");
    let digest = Digest::of(b"layer").to_string();
    assert!(
        package
            .refusals()
            .contains(&format!("lacks its blob {digest}"))
    );
    let (mut package, _) = with_image();
    without(&mut package, |bytes| bytes == b"{}");
    assert!(package.refusals().contains("lacks its blob"));
    let (mut package, _) = with_image();
    without(&mut package, |bytes| bytes.starts_with(b"{\"config"));
    assert!(
        package
            .refusals()
            .contains("`images/index.json`: the package lacks")
    );
    // A manifest listed twice with two sizes.
    let (mut package, image) = with_image();
    let mut other = image.clone();
    other["size"] = json!(image["size"].as_u64().unwrap() + 1);
    package.index(&[image.clone(), other]);
    assert!(package.refusals().contains("a size of"));
    // A layer whose size is false.
    let (mut package, _) = with_image();
    package.files.clear();
    let config = package.blob(media_type::CONFIG, b"{}");
    let mut layer = package.blob(media_type::LAYER, b"layer");
    layer["size"] = json!(4);
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
    let mut image = package.blob(media_type::MANIFEST, manifest.to_string().as_bytes());
    image["annotations"] = json!({NAMES[0]: NAME});
    package.index(&[image]);
    let refusals = package.refusals();
    assert!(refusals.contains("a size of 4 bytes, not 5"), "{refusals}");
}

#[test]
fn documents_that_two_readers_could_read_differently_are_refused() {
    let with_index = |index: &dyn Fn(&Value) -> String| {
        let (mut package, image) = with_image();
        let index = index(&image);
        package.files.insert(INDEX.into(), index.into_bytes());
        package.refusals()
    };
    for (index, message) in [
        (
            &(|_: &Value| "\0noise".into()) as &dyn Fn(&Value) -> String,
            "cannot be read",
        ),
        (&|_| String::new(), "cannot be read"),
        (&|_| "[]".into(), "cannot be read"),
        (
            &|i| format!("{{\"schemaVersion\":2,\"manifests\":[],\"manifests\":[{i}]}}"),
            "cannot be read",
        ),
        (
            &|i| {
                let i = i
                    .to_string()
                    .replacen("\"size\":", "\"size\":1,\"size\":", 1);
                format!("{{\"schemaVersion\":2,\"manifests\":[{i}]}}")
            },
            "cannot be read",
        ),
        (
            &|i| {
                let mut i = i.clone();
                i["size"] = json!(i["size"].to_string());
                json!({"schemaVersion": 2, "manifests": [i]}).to_string()
            },
            "cannot be read",
        ),
        (
            &|i| {
                let mut i = i.clone();
                i["mediaType"] = json!("application/octet-stream");
                json!({"schemaVersion": 2, "manifests": [i]}).to_string()
            },
            "which is no image",
        ),
        (
            &|i| {
                let mut i = i.clone();
                i["mediaType"] = json!(media_type::INDEX);
                json!({"schemaVersion": 2, "manifests": [i]}).to_string()
            },
            "its mediaType is not",
        ),
        (
            &|i| json!({"schemaVersion": 2, "mediaType": "x", "manifests": [i]}).to_string(),
            "mediaType",
        ),
    ] {
        let refusals = with_index(index);
        assert!(refusals.contains(message), "{message} not in {refusals}");
    }
    // Two images under one name.
    let (mut package, image) = with_image();
    let other = package.image(b"other", NAME);
    package.index(&[image, other]);
    assert!(package.refusals().contains("names sha256:"));
    // A manifest that is an index as well.
    let (mut package, _) = with_image();
    let config = package.blob(media_type::CONFIG, b"{}");
    let both = json!({"schemaVersion": 2, "config": config, "layers": [], "manifests": []});
    let mut both = package.blob(media_type::MANIFEST, both.to_string().as_bytes());
    both["annotations"] = json!({NAMES[0]: NAME});
    package.index(&[both]);
    assert!(
        package
            .refusals()
            .contains("an index and a manifest in one")
    );
}

#[test]
fn nested_indexes_are_followed_to_their_end_and_nothing_else_may_be_there() {
    let (mut package, image) = with_image();
    let mut nested = json!({"schemaVersion": 2, "manifests": [image]});
    for _ in 0..5 {
        let inner = package.blob(media_type::INDEX, nested.to_string().as_bytes());
        nested = json!({"schemaVersion": 2, "manifests": [inner]});
    }
    let mut top = package.blob(media_type::INDEX, nested.to_string().as_bytes());
    top["annotations"] = json!({NAMES[0]: NAME});
    package.index(&[top]);
    assert_eq!(package.clone().refusals(), "");
    let mut damaged = package.clone();
    without(&mut damaged, |bytes| bytes == b"layer");
    assert!(damaged.refusals().contains("lacks its blob"));
    package.blob("", b"smuggled");
    let refusals = package.refusals();
    assert!(
        refusals.contains("no image of the package has this file"),
        "{refusals}"
    );
    let (mut package, _) = with_image();
    package.files.insert("images/extra".into(), b"x".to_vec());
    assert!(package.refusals().contains("`images/extra`"));
    let (mut package, _) = with_image();
    package.files.remove(INDEX);
    assert!(
        package
            .refusals()
            .contains("`images/index.json` is missing")
    );
    let (mut package, _) = with_image();
    package.files.remove(MARKER);
    assert!(
        package
            .refusals()
            .contains("`images/oci-layout` is missing")
    );
}

#[test]
fn images_that_components_declare_must_be_there() {
    let (mut package, _) = with_image();
    package.definition += "- name: b\n  images: ['ghcr.io/other/app:1']\n";
    let refusals = package.refusals();
    assert_eq!(
        refusals,
        "the component `b` declares the image `ghcr.io/other/app:1`, which is not in the package"
    );
    let (mut package, _) = with_image();
    package.files.clear();
    assert!(package.refusals().contains("`app:1`"));
    let (mut package, _) = with_image();
    package.definition =
        "components:\n- name: a\n  imageArchives: [{path: a.tar, images: ['x:1']}]\n".into();
    assert!(package.refusals().contains("`x:1`"));
}

#[test]
fn parts_that_components_declare_must_be_in_their_tars() {
    let definition = "components:\n- name: a\n  charts:\n  - name: c\n    version: 1.0.0\n    \
                      valuesFiles: [v.yaml]\n  files:\n  - {source: f, target: /etc/f/}\n  \
                      manifests:\n  - {name: m, files: [m.yaml], kustomizations: [k]}\n  \
                      repos: ['https://h.example/r.git@v1']\n  dataInjections:\n  \
                      - {source: d, target: {path: /data}}\n";
    let folder = crate::package::RepoUrl::parse("https://h.example/r.git@v1").unwrap();
    let repo = format!("a/repos/{}/HEAD", folder.folder());
    let all = [
        "a/charts/c-1.0.0.tgz",
        "a/values/c-1.0.0-0",
        "a/files/0/f",
        "a/manifests/m-0.yaml",
        "a/manifests/kustomization-m-0.yaml",
        "a/data/0/data",
        &repo,
    ];
    let refusals = |paths: &[&str], build: &str| {
        let mut tar = TarWriter::new(Vec::new());
        for path in paths {
            tar.file(path, 0o644, 1, &mut &b"x"[..]).unwrap();
        }
        let mut package = Package {
            definition: format!("{build}{definition}"),
            ..Package::default()
        };
        let bytes = tar.finish().unwrap();
        package.files.insert("components/a.tar".into(), bytes);
        package.refusals()
    };
    assert_eq!(refusals(&all, ""), "");
    for (index, _) in all.iter().enumerate() {
        let mut some = all.to_vec();
        some.remove(index);
        let refusals = refusals(&some, "");
        assert!(
            refusals.contains("which is not in `components/a.tar`"),
            "{refusals}"
        );
    }
    // Before v0.27, manifests had other names.
    let old = all.map(|path| path.replace("m-0.yaml", "x.yaml"));
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    assert_eq!(refusals(&old, "build: {version: v0.26.4}\n"), "");
    assert_ne!(refusals(&old, "build: {version: v0.27.0}\n"), "");
    // Files may be empty, but even then they are in a tar.
    let bare = |definition: &str| {
        let definition = format!("components:\n- name: a\n{definition}");
        Package {
            definition,
            ..Package::default()
        }
        .refusals()
    };
    assert_eq!(bare("  images: []\n"), "");
    assert!(bare("  files: [{source: f, target: /f}]\n").contains("file `/f`"));
    assert!(bare("  files: [{source: f, target: /}]\n").contains("file `/`"));
    assert!(bare("  charts: [{name: c, version: 1.0.0}]\n").contains("chart `c`"));
    assert!(bare("  repos: ['https://h.example/r.git']\n").contains("repository"));
    assert!(bare("  repos: ['git@h.example:r']\n").contains("repository"));
    let mut noise = Package {
        definition: definition.into(),
        ..Package::default()
    };
    noise.files.insert("components/a.tar".into(), vec![7; 600]);
    assert!(
        noise
            .refusals()
            .contains("`components/a.tar`: it cannot be read")
    );
}

/// A tar with these entries.
fn tar_of(entries: &[(tar::EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, name, link) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, &b""[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn tars_that_cannot_be_unpacked_and_those_of_no_component_are_refused() {
    use tar::EntryType as Kind;
    let found = |name: &str, entries: &[(Kind, &str, &str)]| {
        let mut package = Package {
            definition: "components:\n- name: a\n".into(),
            ..Package::default()
        };
        package.files.insert(name.into(), tar_of(entries));
        package.refusals()
    };
    let folder = (Kind::Directory, "a", "");
    assert_eq!(found("components/a.tar", &[folder]), "");
    assert_eq!(found("sboms.tar", &[(Kind::Regular, "b.json", "")]), "");
    for (entries, message) in [
        ([(Kind::Regular, "a/../../x", "")], "leads out"),
        ([(Kind::Regular, "/a/x", "")], "leads out"),
        ([(Kind::Regular, "b/x", "")], "outside the folder"),
        ([(Kind::Link, "a/x", "/etc/passwd")], "a hard link"),
        ([(Kind::Char, "a/x", "")], "neither a file"),
    ] {
        let found = found("components/a.tar", &entries);
        assert!(found.contains(message), "{found}");
    }
    let twice = [(Kind::Regular, "a/x", ""), (Kind::Symlink, "a/./x", "y")];
    let twice = found("components/a.tar", &twice);
    assert!(twice.contains("two entries named `a/x`"), "{twice}");
    let link = found("sboms.tar", &[(Kind::Symlink, "x", "/etc/passwd")]);
    assert!(
        link.starts_with("`sboms.tar`: it cannot be unpacked: "),
        "{link}"
    );
    let other = found("components/b.tar", &[(Kind::Directory, "b", "")]);
    assert_eq!(
        other,
        "`components/b.tar`: the definition has no component of this name"
    );
}

#[test]
fn files_must_have_their_own_places() {
    for (one, other, unpacked) in [
        ("a", "a/b", "below it"),
        ("sboms", "sboms.tar", "where it is unpacked"),
        ("sboms/x", "sboms.tar", "where it is unpacked"),
    ] {
        let mut package = Package::default();
        package.files.insert(one.into(), Vec::new());
        package.files.insert(other.into(), tar_of(&[]));
        let found = package.refusals();
        assert!(found.contains(unpacked), "{found}");
    }
    let mut package = Package::default();
    for name in ["a", "a-/b", "a.b/c", "ab/c"] {
        package.files.insert(name.into(), Vec::new());
    }
    assert_eq!(package.refusals(), "");
}

#[test]
fn the_tars_of_a_skeleton_are_those_of_its_components() {
    let skeleton = |name: &str| {
        let mut package = Package {
            definition: "build: {architecture: skeleton}\ncomponents:\n- name: a\n  files:\n  \
                         - {source: 'https://h.example/f', target: /f}\n"
                .into(),
            ..Package::default()
        };
        let entries = tar_of(&[(tar::EntryType::Directory, "a", "")]);
        package.files.insert(name.into(), entries);
        package.refusals()
    };
    assert_eq!(skeleton("components/a.tar"), "");
    assert!(skeleton("components/b.tar").contains("no component"));
}

#[test]
fn a_file_that_changes_between_its_check_and_its_reading_is_refused() {
    struct Changing(Package);
    impl Contents for Changing {
        type Error = Infallible;
        fn documents(
            &mut self,
            names: &BTreeSet<String>,
        ) -> Result<BTreeMap<String, Vec<u8>>, Infallible> {
            let Ok(found) = self.0.documents(names);
            let changed = found.into_iter().map(|(name, mut bytes)| {
                bytes.push(b' ');
                (name, bytes)
            });
            Ok(changed.collect())
        }
        fn listings(
            &mut self,
            names: &BTreeSet<String>,
        ) -> Result<BTreeMap<String, Listing>, Infallible> {
            self.0.listings(names)
        }
    }
    let (package, _) = with_image();
    let files = package.files.iter();
    let files = files.map(|(n, bytes)| (n.clone(), (Digest::of(bytes), bytes.len() as u64)));
    let files = files.collect();
    let mut check = Check {
        files: &files,
        refusals: Vec::new(),
    };
    let Ok(_) = check.images(&mut Changing(package));
    assert!(check.refusals[0].to_string().contains("has changed to"));
}
