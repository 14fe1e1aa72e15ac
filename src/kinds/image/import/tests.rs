//! Layouts and archives made on the spot, sound and not.

use std::fs;
use std::io::Write as _;

use tar::{EntryType, Header};

use super::*;

const LAYER: &[u8] = b"a layer, in truth a tar";

struct Bench {
    dir: tempfile::TempDir,
    cas: Arc<Cas>,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let cas = Arc::new(Cas::open(&dir.path().join("cache")).unwrap());
    Bench { dir, cas }
}

impl Bench {
    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("archive");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn import(
        &self,
        source: &Path,
        wanted: Option<&str>,
    ) -> Result<(Pin, Vec<Output>), ImportError> {
        let (root, name) = (source.parent().unwrap(), source.file_name().unwrap());
        let name = name.to_str().unwrap();
        let entries = listed(root, name).unwrap();
        let inputs = Inputs::on_disk(&self.cas, root, &entries).unwrap();
        let source = Source::open(&inputs, name, self.cas.root())?;
        import(&self.cas, &source, wanted, &"linux/amd64".parse().unwrap())
    }

    fn refused(&self, bytes: &[u8]) -> String {
        let path = self.file(bytes);
        self.import(&path, None).unwrap_err().to_string()
    }

    fn names(&self, outputs: &[Output]) -> Vec<String> {
        for output in outputs {
            assert!(self.cas.contains(&output.digest, output.size).unwrap());
        }
        outputs.iter().map(|output| output.name.clone()).collect()
    }
}

/// An entry: its kind, name, content, and link target.
type Made<'a> = (EntryType, &'a str, &'a [u8], &'a str);

fn archive(entries: &[Made<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, name, content, link) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// The files of a layout: an index of two platforms, one of which is whole.
fn layout() -> Vec<(String, Vec<u8>)> {
    let config = Descriptor::of(media_type::CONFIG, b"{}");
    let layer = Descriptor::of(media_type::LAYER, LAYER);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::MANIFEST, "config": config, "layers": [layer]
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let child = |bytes: &[u8], platform: &str| Descriptor {
        platform: Some(platform.parse().unwrap()),
        ..Descriptor::of(media_type::MANIFEST, bytes)
    };
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::INDEX,
        "manifests": [child(b"none", "linux/arm64"), child(&manifest, "linux/amd64")]
    });
    let index = serde_json::to_vec(&index).unwrap();
    let mut top = Descriptor::of(media_type::INDEX, &index);
    top.annotations
        .insert(NAMES[1].to_owned(), "1.0".to_owned());
    let top = serde_json::json!({ "schemaVersion": 2, "manifests": [top] });
    let blob = |bytes: &[u8]| (blob_path(&Digest::of(bytes)), bytes.to_vec());
    vec![
        blob(LAYER),
        blob(b"{}"),
        blob(&manifest),
        blob(&index),
        ("index.json".to_owned(), serde_json::to_vec(&top).unwrap()),
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        ),
    ]
}

fn layout_tar() -> Vec<u8> {
    let files = layout();
    let entries: Vec<Made<'_>> = files
        .iter()
        .map(|(name, bytes)| (EntryType::Regular, name.as_str(), bytes.as_slice(), ""))
        .collect();
    archive(&entries)
}

#[test]
fn a_layout_gives_the_same_as_folder_tar_gzip_and_zstd() {
    let bench = bench();
    let folder = bench.dir.path().join("layout");
    for (name, bytes) in layout() {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let expected = bench.import(&folder, Some("1.0")).unwrap();
    assert!(expected.0.index.is_some());
    let names = bench.names(&expected.1);
    assert_eq!(names, ["manifest", "config", "layer/0"]);
    let plain = layout_tar();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let packed = [
        plain.clone(),
        gzip.finish().unwrap(),
        zstd::encode_all(&*plain, 1).unwrap(),
    ];
    for bytes in packed {
        let path = bench.file(&bytes);
        assert_eq!(bench.import(&path, Some("a/b:1.0")).unwrap(), expected);
        assert_eq!(bench.import(&path, None).unwrap(), expected);
        let error = bench.import(&path, Some("2.0")).unwrap_err().to_string();
        assert!(error.contains("no image `2.0`, only 1.0"), "{error}");
    }
}

#[test]
fn a_layout_with_altered_or_missing_blobs_is_refused() {
    let bench = bench();
    let mut altered = layout_tar();
    let at = altered
        .windows(LAYER.len())
        .position(|w| w == LAYER)
        .unwrap();
    altered[at] ^= 1;
    let error = bench.refused(&altered);
    assert!(error.contains("layer/0 was not stored"), "{error}");
    let files = layout();
    let entries: Vec<Made<'_>> = files[1..]
        .iter()
        .map(|(name, bytes)| (EntryType::Regular, name.as_str(), bytes.as_slice(), ""))
        .collect();
    let error = bench.refused(&archive(&entries));
    assert!(error.contains("incomplete"), "{error}");
}

fn saved(tags: &str, layers: &str, ids: &[Digest]) -> (Vec<u8>, Vec<u8>) {
    let list = format!(r#"[{{"Config":"c.json","RepoTags":{tags},"Layers":{layers}}}]"#);
    let config = serde_json::json!({ "rootfs": { "type": "layers", "diff_ids": ids } });
    (list.into_bytes(), serde_json::to_vec(&config).unwrap())
}

#[test]
fn a_docker_archive_becomes_one_manifest_and_its_links_are_followed() {
    let bench = bench();
    let id = Digest::of(LAYER);
    let (list, config) = saved(
        r#"["nginx:1"]"#,
        r#"["1/layer.tar","2/layer.tar","3.tar"]"#,
        &[id; 3],
    );
    let path = bench.file(&archive(&[
        (EntryType::Directory, "./", b"", ""),
        (EntryType::Symlink, "2/layer.tar", b"", "../1/layer.tar"),
        (EntryType::Regular, "./1/layer.tar", LAYER, ""),
        (EntryType::Link, "3.tar", b"", "2/layer.tar"),
        (EntryType::Regular, "c.json", &config, ""),
        (EntryType::Regular, "manifest.json", &list, ""),
    ]));
    let (pin, outputs) = bench
        .import(&path, Some("docker.io/library/nginx:1"))
        .unwrap();
    assert_eq!(pin.manifest.digest, outputs[0].digest);
    assert_eq!(bench.names(&outputs).len(), 5);
    assert!(outputs[2..].iter().all(|layer| layer.digest == id));
    let error = bench
        .import(&path, Some("nginx:2"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("only nginx:1"), "{error}");
}

#[test]
fn inconsistent_docker_archives_are_refused() {
    let bench = bench();
    let id = Digest::of(LAYER);
    let cases: [(&str, &[Digest], &[Made<'_>], &str); 6] = [
        (r#"["l"]"#, &[Digest::of(b"x")], &[], "layer 0 is sha256:"),
        (r#"["l"]"#, &[], &[], "1 layers and 0 layer ids"),
        (r#"["none"]"#, &[id], &[], "refers to `none`"),
        (r#"["../l"]"#, &[id], &[], "leads out"),
        (
            r#"["a"]"#,
            &[id],
            &[(EntryType::Symlink, "a", b"", "a")],
            "never reaches a file",
        ),
        (
            r#"["a"]"#,
            &[id],
            &[(EntryType::Symlink, "a", b"", "../etc")],
            "not in the archive",
        ),
    ];
    for (layers, ids, more, part) in cases {
        let (list, config) = saved("null", layers, ids);
        let mut entries: Vec<Made<'_>> = vec![
            (EntryType::Regular, "l", LAYER, ""),
            (EntryType::Regular, "c.json", &config, ""),
            (EntryType::Regular, "manifest.json", &list, ""),
        ];
        entries.extend(more);
        let error = bench.refused(&archive(&entries));
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn invalid_and_malicious_archives_are_refused() {
    let bench = bench();
    let long = vec![b'a'; 2 << 20];
    let cases: [(Vec<u8>, &str); 8] = [
        (b"no tar".to_vec(), "is not an image"),
        (vec![7; 2000], "is not an image"),
        (archive(&[]), "is not an image"),
        (b"BZh91AY".to_vec(), "bzip2"),
        (
            archive(&[(EntryType::Regular, "/etc/x", b"", "")]),
            "absolute",
        ),
        (
            archive(&[(EntryType::GNULongName, "x", &long, "")]),
            "larger than 1 MiB",
        ),
        (
            archive(&[(EntryType::Regular, "x", &b""[..], ""); 2]),
            "two entries named",
        ),
        (layout_tar()[..700].to_vec(), "is not an image"),
    ];
    for (bytes, part) in cases {
        let error = bench.refused(&bytes);
        assert!(error.contains(part), "{part}: {error}");
    }
    let cut = &layout_tar()[..512 + 10];
    assert!(bench.refused(cut).contains("ends within"));
}

#[test]
fn a_link_that_states_a_size_does_not_hide_the_entry_after_it() {
    let bench = bench();
    let hidden = archive(&[(EntryType::Regular, "/etc/x", b"", "")]);
    let mut bytes = archive(&[(EntryType::Symlink, "a", b"", "b")]);
    bytes.truncate(512);
    let mut header = Header::from_byte_slice(&bytes).clone();
    header.set_size(512);
    header.set_cksum();
    let bytes = [&header.as_bytes()[..], &hidden].concat();
    assert!(bench.refused(&bytes).contains("absolute"));
}

#[test]
fn extended_headers_give_long_names_and_sizes() {
    let bench = bench();
    let long = "d/".repeat(100) + "layer.tar";
    let record = |key: &str, value: &str| {
        let length = key.len() + value.len() + 3;
        let digits = (length + 3).to_string().len();
        format!("{} {key}={value}\n", length + digits)
    };
    let pax = record("path", &long) + &record("size", &LAYER.len().to_string());
    let (list, config) = saved(
        r#"["n:1"]"#,
        &format!(r#"["{long}","l2"]"#),
        &[Digest::of(LAYER); 2],
    );
    let gnu = format!("{long}\0");
    let path = bench.file(&archive(&[
        (EntryType::XHeader, "pax", pax.as_bytes(), ""),
        (EntryType::Regular, "short", LAYER, ""),
        (EntryType::GNULongLink, "long", gnu.as_bytes(), ""),
        (EntryType::Link, "l2", b"", "cut"),
        (EntryType::Regular, "c.json", &config, ""),
        (EntryType::Regular, "manifest.json", &list, ""),
    ]));
    let (_, outputs) = bench.import(&path, None).unwrap();
    assert_eq!(bench.names(&outputs).len(), 4);
}

#[test]
fn no_truncated_or_flipped_byte_of_an_archive_panics() {
    let bench = bench();
    let sound = layout_tar();
    for at in (0..sound.len()).step_by(97) {
        let _ = bench.import(&bench.file(&sound[..at]), None);
        let mut flipped = sound.clone();
        flipped[at] ^= 0x55;
        let _ = bench.import(&bench.file(&flipped), None);
    }
}
