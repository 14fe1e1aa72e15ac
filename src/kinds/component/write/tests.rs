use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::symlink;

use super::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cas::Cas;
use crate::ground::Failure;
use crate::ground::site::{Site, SiteOptions};
use crate::kinds::chart::package::{chart_files, package_chart};
use crate::kinds::component::ComponentWork;
use crate::package::{Chart, DataInjection, DataTarget};
use crate::package::{Component, File, Manifest};
use crate::registry::{Options, Registry};
use crate::text::public_url;

struct Setting {
    dir: tempfile::TempDir,
    site: Arc<Site>,
    /// Blobs by their names, and whether they are tars of trees.
    blobs: BTreeMap<String, (Digest, u64, bool)>,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path().join("cas")).unwrap());
        fs::create_dir(dir.path().join("root")).unwrap();
        let registry = Registry::new(Options::default());
        Self {
            site: Site::new(cas, registry, dir.path(), SiteOptions::default()),
            dir,
            blobs: BTreeMap::new(),
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn ready(
        &self,
        root: PathBuf,
        component: &Component,
    ) -> Result<(ComponentSettings, Inputs), Failure> {
        let work = ComponentWork {
            folders: root.into(),
            component: component.clone(),
            parts: Vec::new(),
        };
        let mut inputs = work.local(&self.site, Inputs::new(&self.site.cas))?;
        let mut trees = Vec::new();
        for (name, (digest, size, tree)) in &self.blobs {
            inputs.blob(name, *digest, *size)?;
            trees.extend(tree.then(|| name.clone()));
        }
        let settings = ComponentSettings::of(component, trees);
        Ok((settings.map_err(ComponentError::from)?, inputs))
    }

    fn write_below(
        &self,
        root: PathBuf,
        component: &Component,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let (settings, inputs) = self.ready(root, component)?;
        Ok(write_component(&settings, &inputs, Vec::new())?)
    }

    fn write(&self, component: &Component) -> Result<Option<Vec<u8>>, Failure> {
        self.write_below(self.root(), component)
    }

    fn error(&self, component: &Component) -> String {
        self.write(component).unwrap_err().to_string()
    }
}

fn file(source: &str, target: &str) -> File {
    File {
        source: source.into(),
        target: target.into(),
        ..File::default()
    }
}

fn component(files: Vec<File>) -> Component {
    Component {
        name: "demo".into(),
        files,
        ..Component::default()
    }
}

fn manifest(name: &str, files: &[&str]) -> Manifest {
    Manifest {
        name: name.into(),
        files: files.iter().map(|file| (*file).to_owned()).collect(),
        ..Manifest::default()
    }
}

/// Name, type, mode, link target and content of every entry.
fn entries(tar: &[u8]) -> Vec<(String, u8, u32, String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let read = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let header = entry.header();
        let (kind, mode) = (header.entry_type().as_byte(), header.mode().unwrap());
        let link = entry.link_name_bytes().unwrap_or_default().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, kind, mode, String::from_utf8(link).unwrap(), content)
    });
    read.collect()
}

fn listing(tar: &[u8]) -> Vec<String> {
    let line = |(name, kind, mode, link, _): &(String, u8, u32, String, Vec<u8>)| {
        format!("{} {mode:o} {name} {link}", char::from(*kind))
            .trim_end()
            .to_owned()
    };
    entries(tar).iter().map(line).collect()
}

#[test]
fn the_tar_of_a_small_component_is_the_one_go_makes() {
    let setting = Setting::new();
    setting.put("h", "hello\n");
    let tar = setting.write(&component(vec![file("h", "/srv/hello.txt")]));
    // docs/spec/package.md, "Test vectors".
    assert_eq!(
        Digest::of(&tar.unwrap().unwrap()).hex(),
        "d227e21658bb8e82f7da4090fcf5b9c61cbb3e53c8d9af10c4d9a3758ebf4ffc"
    );
}

/// The components of the package that Zarf 0.84 built, by name.
fn of_zarf() -> BTreeMap<String, Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let package = tests.join("packages/zarf-package-interop-amd64-1.2.3.tar.zst");
    let plain = zstd::Decoder::new(fs::File::open(package).unwrap()).unwrap();
    let mut archive = tar::Archive::new(plain);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if let Some((_, name)) = path.split_once("components/") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            found.insert(name.to_owned(), bytes);
        }
    }
    found
}

#[test]
fn components_are_laid_out_as_zarf_lays_them_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/zarf-source");
    let mut setting = Setting::new();
    let write = |setting: &Setting, component: &Component| {
        let tar = setting.write_below(root.clone(), component);
        tar.unwrap().unwrap()
    };
    let zarf = of_zarf();
    let base = Component {
        name: "base".into(),
        ..component(vec![
            file("greeting.txt", "/tmp/greeting.txt"),
            file("tree", "/tmp/tree"),
        ])
    };
    assert_eq!(write(&setting, &base), zarf["base.tar"], "the very bytes");
    let cas = &setting.site.cas;
    let bound = fs::canonicalize(&root).unwrap();
    let files = chart_files(&root.join("chart"), &bound, "chart", None).unwrap();
    let files = Inputs::on_disk(cas, &root.join("chart"), &files).unwrap();
    let packed = package_chart(&files, ".", "chart", cas.ingest().unwrap());
    let (digest, size) = packed.unwrap().commit().unwrap();
    let place = "charts/web-0.1.0.tgz".to_owned();
    setting.blobs.insert(place, (digest, size, false));
    let app = Component {
        name: "app".into(),
        manifests: vec![manifest("cm", &["cm.yaml"])],
        charts: vec![Chart {
            values_files: vec!["values.yaml".into()],
            ..chart("web", "0.1.0")
        }],
        ..Component::default()
    };
    let app = setting.write_below(root, &app);
    let (mut made, mut expected) = (entries(&app.unwrap().unwrap()), entries(&zarf["app.tar"]));
    // A packaged chart is compared by what is in it: Zarf's has a clock in it.
    let inner = |list: &mut Vec<(String, u8, u32, String, Vec<u8>)>| {
        let found = list.iter_mut().find(|entry| entry.0.ends_with(".tgz"));
        let bytes = std::mem::take(&mut found.unwrap().4);
        let mut plain = Vec::new();
        let mut zipped = flate2::read::MultiGzDecoder::new(&bytes[..]);
        zipped.read_to_end(&mut plain).unwrap();
        let named = entries(&plain).into_iter();
        named
            .map(|entry| (entry.0, entry.2, entry.4))
            .collect::<Vec<_>>()
    };
    let (own, zarfs) = (inner(&mut made), inner(&mut expected));
    assert_eq!(own, zarfs);
    assert_eq!(own.len(), 3);
    for entry in &mut expected {
        // Zarf 0.84 has 0755 here; jackal has one mode for all.
        if matches!(entry.0.as_str(), "app/charts" | "app/values") {
            entry.2 = OWN_FOLDER;
        }
    }
    assert_eq!(made, expected);
}

#[test]
fn every_kind_of_content_has_its_place_order_and_mode() {
    let setting = Setting::new();
    setting.put("tree/run", "r");
    setting.put("tree/deep/x", "x");
    fs::create_dir(setting.root().join("tree/empty")).unwrap();
    setting.put("beside/b", "b");
    symlink("deep/x", setting.root().join("tree/link")).unwrap();
    symlink("../beside", setting.root().join("tree/out")).unwrap();
    symlink("tree/deep", setting.root().join("link")).unwrap();
    symlink("tree/deep/x", setting.root().join("x.yaml")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    fs::set_permissions(setting.root().join("tree/run"), mode(0o711)).unwrap();
    fs::set_permissions(setting.root().join("tree/deep/x"), mode(0o4640)).unwrap();
    setting.put("tree/own/k", "k");
    setting.put("tree/own/run", "k");
    fs::set_permissions(setting.root().join("tree/own/k"), mode(0o400)).unwrap();
    fs::set_permissions(setting.root().join("tree/own/run"), mode(0o700)).unwrap();
    fs::set_permissions(setting.root().join("tree/own"), mode(0o1700)).unwrap();
    let data = |source: &str| DataInjection {
        source: source.into(),
        target: DataTarget {
            path: "/data/in/".into(),
            ..DataTarget::default()
        },
        ..DataInjection::default()
    };
    let mut files = vec![file("tree/run", "run"); 3];
    files[2].executable = true;
    files.push(file("link", "l"));
    let content = Component {
        data_injections: vec![data("tree"), data("tree/run")],
        manifests: vec![
            manifest("b", &["tree/run", "tree/own/k", "x.yaml"]),
            manifest("a", &["tree/deep/x"; 11]),
        ],
        ..component(files)
    };
    let tar = setting.write(&content).unwrap().unwrap();
    let mut expected = vec![
        "5 700 demo",
        "5 700 demo/data",
        "5 700 demo/data/0",
        "5 755 demo/data/0/in",
        "5 755 demo/data/0/in/deep",
        "0 644 demo/data/0/in/deep/x",
        "5 755 demo/data/0/in/empty",
        "2 777 demo/data/0/in/link deep/x",
        "5 755 demo/data/0/in/out",
        "0 644 demo/data/0/in/out/b",
        "5 700 demo/data/0/in/own",
        "0 600 demo/data/0/in/own/k",
        "0 700 demo/data/0/in/own/run",
        "0 755 demo/data/0/in/run",
        "5 700 demo/data/1",
        "0 755 demo/data/1/in",
        "5 700 demo/files",
        "5 700 demo/files/0",
        "0 600 demo/files/0/run",
        "5 700 demo/files/1",
        "0 600 demo/files/1/run",
        "5 700 demo/files/2",
        "0 700 demo/files/2/run",
        "5 700 demo/files/3",
        "5 700 demo/files/3/l",
        "0 644 demo/files/3/l/x",
        "5 700 demo/manifests",
        "0 644 demo/manifests/a-0.yaml",
        "0 644 demo/manifests/a-1.yaml",
        "0 644 demo/manifests/a-10.yaml",
    ];
    let rest: Vec<String> = (2..10)
        .map(|index| format!("0 644 demo/manifests/a-{index}.yaml"))
        .collect();
    expected.extend(rest.iter().map(String::as_str));
    expected.extend([
        "0 755 demo/manifests/b-0.yaml",
        "0 600 demo/manifests/b-1.yaml",
        "0 644 demo/manifests/b-2.yaml",
    ]);
    assert_eq!(listing(&tar), expected);
}

#[test]
fn empty_files_and_folders_are_packed_and_a_component_of_nothing_has_no_tar() {
    let setting = Setting::new();
    fs::create_dir(setting.root().join("folder")).unwrap();
    setting.put("empty", "");
    let files = vec![file("folder", "/f"), file("empty", "/e")];
    let expected = [
        "5 700 demo",
        "5 700 demo/files",
        "5 700 demo/files/0",
        "5 700 demo/files/0/f",
        "5 700 demo/files/1",
        "0 600 demo/files/1/e",
    ];
    let tar = setting.write(&component(files)).unwrap().unwrap();
    assert_eq!(listing(&tar), expected);
    assert!(setting.write(&component(Vec::new())).unwrap().is_none());
    symlink("gone", setting.root().join("link")).unwrap();
    let link = component(vec![file("link", "/l")]);
    let text = setting.write(&link).unwrap_err().message;
    assert!(text.contains("does not exist"), "{text}");
}

#[test]
fn a_wrong_shasum_is_refused_with_both_sums() {
    let setting = Setting::new();
    setting.put("h", "hello\n");
    let sum = Digest::of(b"hello\n").hex();
    let with = |shasum: &str, source: &str| {
        component(vec![File {
            shasum: shasum.into(),
            ..file(source, "/h")
        }])
    };
    assert!(setting.write(&with(&sum.to_uppercase(), "h")).is_ok());
    let other = Digest::of(b"other").hex();
    let text = setting.error(&with(&other, "h"));
    assert!(
        text.contains("`h`") && text.contains(&sum) && text.contains(&other),
        "{text}"
    );
    assert!(setting.error(&with("abc", "h")).contains("64 hex digits"));
    assert!(setting.error(&with(&sum, ".")).contains("not a file"));
}

#[test]
fn a_url_comes_from_the_cache_and_its_sums_are_checked() {
    let mut setting = Setting::new();
    let digest = Digest::of(b"blob");
    let blob = crate::oci::Descriptor::of("", b"blob");
    setting.site.cas.put(&blob, &b"blob"[..]).unwrap();
    let urls = [
        "https://h.io/x".to_owned(),
        format!("http://user@h.io/x@{}", digest.hex()),
        format!("https://h.io/x@{}", Digest::of(b"other").hex()),
    ];
    for url in &urls {
        setting.blobs.insert(public_url(url), (digest, 4, false));
    }
    let from = |url: &str| Component {
        manifests: vec![manifest("m", &["https://h.io/x"])],
        ..component(vec![file(url, "/srv/x.bin")])
    };
    for url in &urls[..2] {
        let tar = setting.write(&from(url)).unwrap().unwrap();
        let found = entries(&tar);
        assert_eq!(
            (found[3].0.as_str(), found[3].2),
            ("demo/files/0/x.bin", 0o600)
        );
        assert_eq!(found[3].4, b"blob");
        assert_eq!(
            (found[5].0.as_str(), found[5].2),
            ("demo/manifests/m-0.yaml", 0o644)
        );
        assert_eq!(found[5].4, b"blob");
    }
    let wrong = setting.write(&from(&urls[2]));
    assert!(wrong.unwrap_err().message.contains("but its `shasum` is"));
    let absent = setting.write(&from("https://h.io/y"));
    assert!(
        absent
            .unwrap_err()
            .message
            .contains("which was not downloaded")
    );
    let scheme = setting.write(&from("sget://h.io/y"));
    assert!(
        scheme
            .unwrap_err()
            .message
            .contains("expected an http:// or https:// URL")
    );
}

/// A change to a file during the read.
type Act = fn(&Path);

/// Receives the tar, and changes a file once its header has been written.
struct Meddler<F> {
    seen: usize,
    act: Option<F>,
}

impl<F: FnOnce()> Write for Meddler<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.seen += bytes.len();
        // Three folders and the file's header stand before the first byte.
        if self.seen > 4 * 512
            && let Some(act) = self.act.take()
        {
            act();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let setting = Setting::new();
    let path = setting.root().join("h");
    let acts: [(&str, Act); 3] = [
        ("grows", |path| {
            fs::write(path, vec![b'x'; 400_000]).unwrap()
        }),
        ("shrinks", |path| fs::write(path, "short").unwrap()),
        ("same size", |path| {
            fs::write(path, vec![b'y'; 300_000]).unwrap()
        }),
    ];
    for (what, act) in acts {
        fs::write(&path, vec![b'x'; 300_000]).unwrap();
        // Past the tick of the file system's clock.
        std::thread::sleep(std::time::Duration::from_millis(30));
        let out = Meddler {
            seen: 0,
            act: Some(|| act(&path)),
        };
        let content = component(vec![file("h", "/h")]);
        let (settings, inputs) = setting.ready(setting.root(), &content).unwrap();
        assert!(write_component(&settings, &inputs, out).is_err(), "{what}");
        assert_eq!(inputs.changed(), Some(path.clone()), "{what}");
    }
}

#[test]
fn entries_that_cannot_be_packed_are_refused_by_name() {
    let setting = Setting::new();
    setting.put("h", "hello\n");
    fs::create_dir(setting.root().join("sub")).unwrap();
    let pipe = setting.root().join("sub/pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for source in ["sub/pipe", "sub"] {
        let text = setting.error(&component(vec![file(source, "/h")]));
        assert!(
            text.contains("sub/pipe") && text.contains("pipe or device"),
            "{text}"
        );
    }
    let _socket = std::os::unix::net::UnixListener::bind(setting.root().join("s")).unwrap();
    assert!(
        setting
            .error(&component(vec![file("s", "/h")]))
            .contains("socket")
    );
    for source in ["../h", "/etc/passwd", ""] {
        let outside = setting.write(&component(vec![file(source, "/h")]));
        let failure = outside.unwrap_err();
        assert_eq!(failure.class, crate::ground::Class::Configuration);
        let text = failure.message;
        assert!(
            text.contains("points outside its folder") || text.contains("leads out of"),
            "{source}: {text}"
        );
    }
    let missing = setting.write(&component(vec![file("absent", "/h")]));
    assert!(missing.unwrap_err().message.contains("absent"));
    for target in ["/", "", "a/..", "."] {
        let unnamed = setting.write(&component(vec![file("h", target)]));
        let text = unnamed.unwrap_err().message;
        assert!(text.contains("has no file name"), "{target}: {text}");
    }
    for (name, source) in [("a", "sub"), ("a/b", "h"), ("", "h")] {
        let mut content = component(Vec::new());
        content.manifests = vec![manifest(name, &[source])];
        assert!(setting.write(&content).is_err(), "{name} {source}");
    }
    let mut twice = component(Vec::new());
    twice.manifests = vec![manifest("a", &["h"]), manifest("a", &["h"])];
    assert!(setting.error(&twice).contains("manifest name `a`"));
    let mut extract = component(vec![file("h", "/h")]);
    extract.files[0].extract_path = "x".into();
    assert!(setting.error(&extract).contains("no step made"));
    let mut charts = component(Vec::new());
    charts.charts = vec![chart("a", "1"), chart("a", "1")];
    assert!(setting.error(&charts).contains("invalid file name"));
    charts.charts = vec![chart("a/b", "1")];
    assert!(setting.error(&charts).contains("invalid file name"));
    let mut repos = component(Vec::new());
    repos.repos = vec!["git@example.com:a/b".into()];
    assert!(setting.error(&repos).contains("Git repository"));
}

fn chart(name: &str, version: &str) -> Chart {
    Chart {
        name: name.into(),
        version: version.into(),
        local_path: "chart".into(),
        ..Chart::default()
    }
}
