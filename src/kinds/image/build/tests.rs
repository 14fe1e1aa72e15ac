use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::oci::Digest;

struct Setting {
    dir: tempfile::TempDir,
    cas: Cas,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cas = Cas::open(&dir.path().join("cas")).unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::create_dir_all(tree.join("empty")).unwrap();
        fs::write(tree.join("bin/run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(tree.join("bin/run"), PermissionsExt::from_mode(0o700)).unwrap();
        fs::write(tree.join("page"), "hello").unwrap();
        symlink("/gone", tree.join("link")).unwrap();
        Self { dir, cas }
    }

    fn spec(&self, source: &str, to: &str) -> ImageSpec {
        ImageSpec {
            base: None,
            platform: "linux/arm64".parse().unwrap(),
            layers: vec![LayerSpec {
                root: self.dir.path().to_owned(),
                source: source.to_owned(),
                to: to.to_owned(),
                owner: None,
                mode: None,
            }],
            config: ImageConfig::default(),
        }
    }

    fn read(&self, output: &Output) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut blob = self.cas.open_blob(&output.digest).unwrap();
        blob.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn json(&self, output: &Output) -> Value {
        serde_json::from_slice(&self.read(output)).unwrap()
    }

    /// The tar in the last layer.
    fn tar(&self, outputs: &[Output]) -> Vec<u8> {
        let layer = self.read(outputs.last().unwrap());
        let mut tar = Vec::new();
        let mut gzip = flate2::read::GzDecoder::new(&*layer);
        gzip.read_to_end(&mut tar).unwrap();
        tar
    }

    fn listing(&self, spec: &ImageSpec) -> Vec<String> {
        let tar = self.tar(&build_image(&self.cas, spec).unwrap());
        let mut archive = tar::Archive::new(&*tar);
        let lines = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 0);
            format!(
                "{} {:o} {}:{} {}",
                char::from(header.entry_type().as_byte()),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                entry.path().unwrap().display()
            )
        });
        lines.collect()
    }

    fn base(&self, outputs: &[Output]) -> Base {
        let bytes = self.read(&outputs[0]);
        Base {
            manifest: Descriptor::of(media_type::MANIFEST, &bytes),
        }
    }
}

fn names(outputs: &[Output]) -> Vec<&str> {
    outputs.iter().map(|output| output.name.as_str()).collect()
}

#[test]
fn equal_trees_make_equal_images_whatever_their_times_and_umask() {
    let (one, other) = (Setting::new(), Setting::new());
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    let page = other.dir.path().join("tree/page");
    let file = fs::File::options().append(true).open(&page).unwrap();
    file.set_modified(old).unwrap();
    fs::set_permissions(&page, PermissionsExt::from_mode(0o600)).unwrap();
    let images = [&one, &other]
        .map(|setting| build_image(&setting.cas, &setting.spec("tree", "/srv/www")).unwrap());
    assert_eq!(images[0], images[1]);
    assert_eq!(names(&images[0]), ["manifest", "config", "layer/0"]);
    let layer = one.read(&images[0][2]);
    // RFC 1952: deflate, no flags, no time, usual effort, unknown system.
    assert_eq!(layer[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    let config = one.json(&images[0][1]);
    let diff_id = Digest::of(&one.tar(&images[0])).to_string();
    assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!([diff_id]));
    assert_eq!(config["architecture"], "arm64");
    let manifest: Manifest = serde_json::from_slice(&one.read(&images[0][0])).unwrap();
    assert_eq!(manifest.config.digest, images[0][1].digest);
    assert_eq!(manifest.layers[0].digest, images[0][2].digest);
    assert_eq!(manifest.layers[0].size, layer.len() as u64);
}

#[test]
fn a_folder_puts_its_content_and_a_file_itself_at_the_target() {
    let setting = Setting::new();
    let folder = [
        "5 755 0:0 srv",
        "5 755 0:0 srv/www",
        "5 755 0:0 srv/www/bin",
        "0 755 0:0 srv/www/bin/run",
        "5 755 0:0 srv/www/empty",
        "2 777 0:0 srv/www/link",
        "0 644 0:0 srv/www/page",
    ];
    assert_eq!(setting.listing(&setting.spec("tree", "/srv/www")), folder);
    assert_eq!(
        setting.listing(&setting.spec("tree/", "//srv/./www/")),
        folder
    );
    let file = ["5 755 0:0 srv", "0 644 0:0 srv/index"];
    assert_eq!(
        setting.listing(&setting.spec("tree/page", "/srv/index")),
        file
    );
    let root = setting.listing(&setting.spec("tree/bin", "/"));
    assert_eq!(root, ["0 755 0:0 run"]);
}

#[test]
fn owner_and_mode_are_set_on_the_content_and_not_on_its_parents() {
    let setting = Setting::new();
    let mut spec = setting.spec("tree/bin", "/srv/bin");
    spec.layers[0].owner = Some((1000, 1_000_650_000));
    spec.layers[0].mode = Some(0o640);
    let expected = [
        "5 755 0:0 srv",
        "5 750 1000:1000650000 srv/bin",
        "0 640 1000:1000650000 srv/bin/run",
    ];
    assert_eq!(setting.listing(&spec), expected);
}

#[test]
fn a_base_keeps_its_layers_history_and_settings() {
    let setting = Setting::new();
    let mut below = setting.spec("tree", "/");
    below.config.env = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
    below.config.cmd = vec!["sh".to_owned()];
    let below = build_image(&setting.cas, &below).unwrap();
    let mut spec = setting.spec("tree/page", "/etc/page");
    spec.base = Some(setting.base(&below));
    spec.config.user = "1000".to_owned();
    let outputs = build_image(&setting.cas, &spec).unwrap();
    assert_eq!(
        names(&outputs),
        ["manifest", "config", "layer/0", "layer/1"]
    );
    assert_eq!(outputs[2], below[2]);
    let config = setting.json(&outputs[1]);
    assert_eq!(
        config["config"],
        serde_json::json!({
            "Cmd": ["sh"], "Env": ["PATH=/bin"], "User": "1000"
        })
    );
    assert_eq!(config["history"].as_array().unwrap().len(), 2);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    spec.platform = "linux/amd64".parse().unwrap();
    let error = build_image(&setting.cas, &spec).unwrap_err().to_string();
    assert!(error.contains("`arm64`, expected `amd64`"), "{error}");
}

#[test]
fn a_base_that_is_damaged_or_no_container_is_refused() {
    let setting = Setting::new();
    let blob = |media_type: &str, bytes: &[u8]| {
        let part = Descriptor::of(media_type, bytes);
        setting.cas.put(&part, bytes).unwrap();
        part
    };
    let config = blob(
        media_type::CONFIG,
        br#"{"architecture":"arm64","os":"linux"}"#,
    );
    let with = |layer: &str| {
        let layer = Descriptor::of(layer, b"");
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            serde_json::to_string(&config).unwrap(),
            serde_json::to_string(&layer).unwrap()
        );
        blob(media_type::MANIFEST, text.as_bytes())
    };
    let cases = [
        (with("application/x"), "a file system"),
        (with(media_type::LAYER), "1 layers and 0 diff_ids"),
        (blob(media_type::MANIFEST, b"[]"), "no manifest"),
        (blob(media_type::INDEX, b"{}"), "is an index"),
        (
            Descriptor::of(media_type::MANIFEST, b"gone"),
            "not in the cache",
        ),
    ];
    for (manifest, expected) in cases {
        let mut spec = setting.spec("tree", "/");
        spec.base = Some(Base { manifest });
        let error = build_image(&setting.cas, &spec).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn targets_and_sources_that_cannot_be_meant_are_refused() {
    let setting = Setting::new();
    let error = |source: &str, to: &str| {
        let spec = setting.spec(source, to);
        build_image(&setting.cas, &spec).unwrap_err()
    };
    for to in ["srv", "", "/a/../b"] {
        assert!(
            matches!(error("tree", to), ImageError::Target { .. }),
            "{to}"
        );
    }
    for to in ["/", "/srv/"] {
        assert!(
            matches!(error("tree/page", to), ImageError::Target { .. }),
            "{to}"
        );
    }
    let outside = error("../x", "/x");
    assert!(matches!(
        outside,
        ImageError::Source(SourceError::Outside(_))
    ));
    fs::write(setting.dir.path().join("tree/.wh.page"), "").unwrap();
    assert!(
        matches!(error("tree", "/x"), ImageError::Whiteout(path) if path.ends_with(".wh.page"))
    );
    let mut spec = setting.spec("tree/page", "/x");
    spec.layers[0].mode = Some(0o10_000);
    assert!(matches!(
        build_image(&setting.cas, &spec),
        Err(ImageError::Mode { .. })
    ));
}
