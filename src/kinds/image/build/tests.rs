use std::io::Read as _;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use std::sync::Arc;

use crate::ground::Failure;
use crate::ground::source::listed;
use crate::oci::Digest;

struct Setting {
    dir: tempfile::TempDir,
    cas: Arc<Cas>,
    base: Option<Descriptor>,
    platform: Platform,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path().join("cas")).unwrap());
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::create_dir_all(tree.join("empty")).unwrap();
        fs::write(tree.join("bin/run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(tree.join("bin/run"), PermissionsExt::from_mode(0o711)).unwrap();
        fs::write(tree.join("page"), "hello").unwrap();
        symlink("/gone", tree.join("link")).unwrap();
        Self {
            dir,
            cas,
            base: None,
            platform: "linux/arm64".parse().unwrap(),
        }
    }

    fn spec(&self, source: &str, to: &str) -> ImageSpec {
        ImageSpec {
            base: None,
            layers: vec![LayerSpec {
                source: source.to_owned(),
                to: to.to_owned(),
                owner: None,
                mode: None,
            }],
            config: ImageConfig::default(),
        }
    }

    fn build(&self, spec: &ImageSpec) -> Result<Vec<Output>, Failure> {
        let root = self.dir.path();
        let mut entries = Vec::new();
        for layer in &spec.layers {
            entries.extend(listed(root, &layer.source)?);
        }
        let inputs = Inputs::on_disk(&self.cas, root, &entries)?;
        let base = self.base.as_ref();
        let spec = ImageSpec {
            base: base.map(|base| base.media_type.clone()),
            ..spec.clone()
        };
        Ok(build_image(
            &self.cas,
            &inputs,
            &spec,
            base,
            &self.platform,
        )?)
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
        let tar = self.tar(&self.build(spec).unwrap());
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

    fn described(&self, outputs: &[Output]) -> Descriptor {
        Descriptor::of(media_type::MANIFEST, &self.read(&outputs[0]))
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
    fs::set_permissions(&page, PermissionsExt::from_mode(0o664)).unwrap();
    let images =
        [&one, &other].map(|setting| setting.build(&setting.spec("tree", "/srv/www")).unwrap());
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
        setting.listing(&setting.spec("tree", "//srv/./www/")),
        folder
    );
    let file = ["5 755 0:0 srv", "0 644 0:0 srv/index"];
    assert_eq!(
        setting.listing(&setting.spec("tree/page", "/srv/index")),
        file
    );
    let root = setting.listing(&setting.spec("tree/bin", "/"));
    assert_eq!(root, ["0 755 0:0 run"]);
    let bin = setting.dir.path().join("tree/bin");
    fs::set_permissions(bin.join("run"), PermissionsExt::from_mode(0o500)).unwrap();
    fs::set_permissions(&bin, PermissionsExt::from_mode(0o700)).unwrap();
    let private = setting.listing(&setting.spec("tree", "/"));
    assert_eq!(private[..2], ["5 700 0:0 bin", "0 700 0:0 bin/run"]);
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
    let mut setting = Setting::new();
    let mut below = setting.spec("tree", "/");
    below.config.env = BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]);
    below.config.cmd = vec!["sh".to_owned()];
    let below = setting.build(&below).unwrap();
    let mut spec = setting.spec("tree/page", "/etc/page");
    setting.base = Some(setting.described(&below));
    spec.config.user = "1000".to_owned();
    let outputs = setting.build(&spec).unwrap();
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
    setting.platform = "linux/amd64".parse().unwrap();
    let error = setting.build(&spec).unwrap_err().to_string();
    assert!(error.contains("`arm64`, expected `amd64`"), "{error}");
}

#[test]
fn a_base_that_is_damaged_or_not_a_container_is_refused() {
    let mut setting = Setting::new();
    let cas = Arc::clone(&setting.cas);
    let blob = |media_type: &str, bytes: &[u8]| {
        let part = Descriptor::of(media_type, bytes);
        cas.put(&part, bytes).unwrap();
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
        (with(media_type::LAYER), "1 layers but 0 diff_ids"),
        (blob(media_type::MANIFEST, b"[]"), "not a valid manifest"),
        (blob(media_type::INDEX, b"{}"), "is an index"),
        (
            Descriptor::of(media_type::MANIFEST, b"gone"),
            "not in the cache",
        ),
    ];
    for (manifest, expected) in cases {
        let spec = setting.spec("tree", "/");
        setting.base = Some(manifest);
        let error = setting.build(&spec).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn invalid_targets_and_sources_are_refused() {
    let setting = Setting::new();
    let error = |source: &str, to: &str| {
        let spec = setting.spec(source, to);
        setting.build(&spec).unwrap_err()
    };
    for to in ["srv", "", "/a/../b"] {
        assert!(error("tree", to).message.contains("layer target"), "{to}");
    }
    for to in ["/", "/srv/"] {
        assert!(
            error("tree/page", to).message.contains("layer target"),
            "{to}"
        );
    }
    let outside = error("../x", "/x").message;
    assert!(outside.contains("points outside its folder"), "{outside}");
    fs::write(setting.dir.path().join("tree/.wh.page"), "").unwrap();
    assert!(error("tree", "/x").message.contains("`tree/.wh.page`"));
    let mut spec = setting.spec("tree/page", "/x");
    spec.layers[0].mode = Some(0o10_000);
    assert!(
        setting
            .build(&spec)
            .unwrap_err()
            .message
            .contains("has mode")
    );
}
