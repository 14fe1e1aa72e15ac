//! Kinds of toolchains, by what their folders hold. A new one is a row of [`TABLE`].

use std::path::{Path, PathBuf};

use super::Toolchain;
use super::version::{components, number};
use crate::disk::{self, look};

/// Maximum size of a file that says which version it is, in bytes: 4 MiB. The manifest of
/// a Rust release has one.
const MAX_MANIFEST: u64 = 4 << 20;

/// One kind of toolchain.
struct Layout {
    name: &'static str,
    /// The names of programs that have its version, by their beginnings.
    mains: &'static [&'static str],
    /// Whether a folder is one, with its version if that can be seen.
    is: fn(&Path) -> Option<Option<String>>,
    /// What a command needs of it; empty: all.
    parts: &'static [&'static str],
    /// The same, where the folder is a prefix that others share, such as `/usr/local`; a
    /// `*` stands for the rest of a name.
    shared: &'static [&'static str],
    /// Variables, with the path below the folder.
    env: &'static [(&'static str, Value)],
}

/// What a variable is set to.
enum Value {
    Root,
    Text(&'static str),
}

/// What Python compiles from other files, whose time and size it checks.
const COMPILED: &[&str] = &["__pycache__"];

const TABLE: &[Layout] = &[
    Layout {
        name: "Rust",
        mains: &["cargo", "rust"],
        is: |root| rust(root),
        // The rest is documentation, more than half of the files.
        parts: &["bin", "lib", "libexec"],
        shared: &[],
        env: &[],
    },
    Layout {
        name: "Go",
        mains: &["go"],
        is: |root| go(root),
        parts: &["VERSION", "bin", "go.env", "lib", "misc", "pkg", "src"],
        shared: &[],
        env: &[
            ("GOROOT", Value::Root),
            // Else it fetches the version that go.mod names.
            ("GOTOOLCHAIN", Value::Text("local")),
        ],
    },
    Layout {
        name: "JDK",
        mains: &["jar", "java", "jlink"],
        is: |root| {
            let facts = text(&root.join("release"))?;
            let version = quoted(&facts, "JAVA_VERSION=")?;
            Some(Some(version))
        },
        parts: &["bin", "conf", "include", "jmods", "jre", "lib", "release"],
        shared: &[],
        env: &[("JAVA_HOME", Value::Root)],
    },
    Layout {
        name: "Maven",
        mains: &["mvn"],
        is: |root| versioned(&root.join("lib"), "maven-core-", ".jar"),
        parts: &["bin", "boot", "conf", "lib"],
        shared: &[],
        env: &[("MAVEN_HOME", Value::Root)],
    },
    Layout {
        name: "Gradle",
        mains: &["gradle"],
        is: |root| versioned(&root.join("lib"), "gradle-base-services-", ".jar"),
        parts: &["bin", "init.d", "lib"],
        shared: &[],
        env: &[("GRADLE_HOME", Value::Root)],
    },
    Layout {
        name: ".NET",
        mains: &["dotnet"],
        is: |root| {
            let sdk = root.join("sdk");
            (look::is_file(&root.join("dotnet")) && look::is_dir(&sdk)).then(|| newest(&sdk))
        },
        parts: &[],
        shared: &[],
        env: &[
            ("DOTNET_ROOT", Value::Root),
            ("DOTNET_CLI_TELEMETRY_OPTOUT", Value::Text("1")),
            ("DOTNET_NOLOGO", Value::Text("1")),
        ],
    },
    Layout {
        name: "Conda",
        mains: &[],
        is: |root| look::is_dir(&root.join("conda-meta")).then_some(None),
        parts: &[],
        shared: &[],
        env: &[],
    },
    Layout {
        name: "Node.js",
        mains: &["node"],
        is: |root| node(root),
        parts: &["bin", "include", "lib"],
        shared: &["bin/node", "bin/np*", "include/node", "lib/node_modules"],
        env: &[],
    },
    Layout {
        name: "Python",
        mains: &["python"],
        is: |root| python(root),
        parts: &["bin", "include", "lib"],
        shared: &["bin/python*", "bin/pip*", "lib/libpython*", "lib/python*"],
        env: &[],
    },
];

/// The virtual environment of Python that `path` is in: its packages are there, and its
/// interpreter is a link to that of another toolchain.
pub(super) fn environment(path: &Path) -> Option<Toolchain> {
    let root = path.parent()?.parent()?;
    if !look::is_file(&root.join("pyvenv.cfg")) {
        return None;
    }
    let reason = format!("{} is a virtual environment", root.display());
    Some(Toolchain {
        kind: "virtual environment".to_owned(),
        parts: Vec::new(),
        env: Vec::new(),
        version: None,
        mains: &[],
        reasons: vec![reason],
        ..describe(root.to_owned(), path.to_owned())
    })
}

/// Prefixes that hold programs of many origins.
const SHARED: [&str; 3] = ["/", "/usr", "/usr/local"];

/// The toolchain that the program at `path` is in.
pub(super) fn find(path: &Path) -> Option<Toolchain> {
    let folder = path.parent()?;
    let above = folder.parent().filter(|_| folder.ends_with("bin"));
    for root in above.into_iter().chain([folder]) {
        if TABLE.iter().any(|layout| (layout.is)(root).is_some()) {
            let toolchain = describe(root.to_owned(), path.to_owned());
            // A shared prefix has other programs too.
            let is_its = toolchain.has(path);
            return is_its.then_some(toolchain);
        }
    }
    // What unpacks to a folder of its own is one by itself.
    let root = above.unwrap_or(folder);
    let in_opt = root.starts_with("/opt") && root != Path::new("/opt");
    in_opt.then(|| describe(root.to_owned(), path.to_owned()))
}

impl Toolchain {
    fn has(&self, path: &Path) -> bool {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        let mut parts = self.parts.iter();
        self.parts.is_empty() || parts.any(|part| below.starts_with(part))
    }
}

/// The toolchain in the folder `root`, whatever kind it is.
pub(super) fn describe(root: PathBuf, program: PathBuf) -> Toolchain {
    let mut kinds = TABLE.iter();
    let found = kinds.find_map(|layout| Some((layout, (layout.is)(&root)?)));
    let Some((layout, version)) = found else {
        let reason = format!("{} is a folder of its own", root.display());
        return Toolchain {
            kind: "toolchain".to_owned(),
            version: None,
            mains: &[],
            parts: Vec::new(),
            skipped: COMPILED,
            env: Vec::new(),
            selected: None,
            by_folder: false,
            reasons: vec![reason],
            root,
            program,
        };
    };
    let is_shared = SHARED.iter().any(|shared| root == Path::new(shared));
    let parts = match is_shared {
        true => layout.shared,
        false => layout.parts,
    };
    let env = layout.env.iter().map(|(name, value)| {
        let value = match value {
            Value::Root => root.to_string_lossy().into_owned(),
            Value::Text(text) => (*text).to_owned(),
        };
        (*name, value)
    });
    let shown = version.as_deref().unwrap_or("of an unknown version");
    Toolchain {
        kind: layout.name.to_owned(),
        mains: layout.mains,
        parts: parts.iter().flat_map(|part| named(&root, part)).collect(),
        skipped: COMPILED,
        env: env.collect(),
        selected: None,
        by_folder: false,
        reasons: vec![format!("{} is {} {shown}", root.display(), layout.name)],
        version,
        root,
        program,
    }
}

/// What is called `part` below `root`, if it exists.
fn named(root: &Path, part: &str) -> Vec<String> {
    let Some(start) = part.strip_suffix('*') else {
        return match look::symlink_metadata(&root.join(part)) {
            Ok(_) => vec![part.to_owned()],
            Err(_) => Vec::new(),
        };
    };
    let (folder, start) = start.rsplit_once('/').unwrap_or(("", start));
    let names = names(&root.join(folder)).into_iter();
    let names = names.filter(|name| name.starts_with(start));
    names.map(|name| format!("{folder}/{name}")).collect()
}

/// The names in a folder, in order.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = look::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn text(path: &Path) -> Option<String> {
    disk::read_text(path, MAX_MANIFEST).ok()
}

/// The text in quotes after `start`.
fn quoted(text: &str, start: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.strip_prefix('"')?.split('"').next()?.to_owned())
}

/// The version in the name of a file.
fn versioned(folder: &Path, start: &str, end: &str) -> Option<Option<String>> {
    names(folder).iter().find_map(|name| {
        let version = name.strip_prefix(start)?.strip_suffix(end)?;
        Some(Some(version.to_owned()))
    })
}

fn newest(folder: &Path) -> Option<String> {
    let names = names(folder).into_iter();
    names.max_by_key(|name| components(name))
}

fn rust(root: &Path) -> Option<Option<String>> {
    let rustlib = root.join("lib/rustlib");
    if !look::is_dir(&rustlib) {
        return None;
    }
    let manifest = text(&rustlib.join("multirust-channel-manifest.toml"));
    Some(manifest.and_then(|manifest| {
        let (_, rest) = manifest.split_once("[pkg.rustc]\n")?;
        number(rest.lines().next()?)
    }))
}

fn go(root: &Path) -> Option<Option<String>> {
    let version = text(&root.join("VERSION"))?;
    let version = version.lines().next()?.strip_prefix("go")?;
    let is_go = look::is_dir(&root.join("src/runtime"));
    is_go.then(|| Some(version.to_owned()))
}

fn node(root: &Path) -> Option<Option<String>> {
    if !look::exists(&root.join("bin/node")) {
        return None;
    }
    let header = text(&root.join("include/node/node_version.h")).unwrap_or_default();
    let part = |name: &str| {
        let start = format!("#define NODE_{name}_VERSION ");
        let mut lines = header.lines();
        lines.find_map(|line| line.strip_prefix(&start).map(str::trim))
    };
    let parts = [part("MAJOR"), part("MINOR"), part("PATCH")];
    let parts: Option<Vec<&str>> = parts.into_iter().collect();
    Some(parts.map(|parts| parts.join(".")))
}

fn python(root: &Path) -> Option<Option<String>> {
    let names = names(&root.join("lib")).into_iter();
    let mut names = names.filter(|name| name.starts_with("python"));
    let name = names.find(|name| look::is_file(&root.join("lib").join(name).join("os.py")))?;
    let header = root.join("include").join(&name).join("patchlevel.h");
    let exact = text(&header).and_then(|text| quoted(&text, "PY_VERSION              "));
    Some(exact.or_else(|| number(&name)))
}
