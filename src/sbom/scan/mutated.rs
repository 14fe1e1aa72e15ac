//! A property: whatever is done to a list of packages, a scan of it ends with a document or
//! an error, and with the same one each time. Seeds are small and sound files of each kind,
//! so that changes reach the parsers behind the first checks.
//!
//! A short run is part of the tests. `PROPTEST_CASES` makes it a long one, which needs no
//! other compiler than the rest; `fuzz/` has what counts memory and time as well.

use proptest::prelude::*;

use super::merging::TEMPLATES;
use super::*;
use crate::sbom::body::in_memory;
use crate::sbom::format::syft;
use crate::sbom::layer::tar_of;

/// Files of components, and of images where the templates of layers have none.
const SEEDS: &[(&str, &[u8])] = &[
    ("package-lock.json", br#"{"name":"r","version":"1","lockfileVersion":3,"packages":{"":{"name":"r","dependencies":{"a":"^1"}},"node_modules/a":{"version":"1.0.0","resolved":"https://r/a.tgz","integrity":"sha512-x","dependencies":{"b":"1"}},"node_modules/a/node_modules/b":{"version":"2","dev":true,"link":true}},"dependencies":{"a":{"version":"npm:b@1","requires":{"b":"1"},"dependencies":{"b":{"version":"1"}}}}}"#),
    ("yarn.lock", b"# yarn lockfile v1\n\n\"@s/a@^1\", a@npm:@s/a@1:\n  version \"1.0.0\"\n  resolved \"https://r/a.tgz#x\"\n  integrity sha512-x\n  dependencies:\n    b \"^2\"\n\nb@^2:\n  version \"2\"\n"),
    ("berry/yarn.lock", b"__metadata:\n  version: 6\n\n\"a@npm:^1, a@npm:1\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n  dependencies:\n    b: ^2\n  checksum: x\n\n\"r@workspace:.\":\n  version: 0.0.0-use.local\n"),
    ("pnpm-lock.yaml", b"lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: ^1\n        version: 1.0.0(b@2)\npackages:\n  a@1.0.0:\n    resolution: {integrity: sha512-x}\n  '@s/b@2':\n    resolution: {integrity: x}\nsnapshots:\n  a@1.0.0(b@2):\n    dependencies:\n      b: 2\n"),
    ("old/pnpm-lock.yaml", b"lockfileVersion: 5.4\ndependencies:\n  a: 1.0.0_b@2\npackages:\n  /a/1.0.0_b@2:\n    resolution: {integrity: x}\n    dev: false\n  /@s/b/2:\n    dev: true\n"),
    ("bun.lock", br#"{"lockfileVersion":1,"workspaces":{"":{"name":"r","dependencies":{"a":"1"},},},"packages":{"a":["a@1.0.0","",{"dependencies":{"b":"2"}},"sha512-x"],},}"#),
    ("deno.lock", br#"{"version":"4","specifiers":{"npm:a@1":"1.0.0"},"npm":{"a@1.0.0":{"integrity":"x","dependencies":["b@2"]}},"jsr":{"@s/c@1.0.0":{"integrity":"x"}}}"#),
    ("Cargo.lock", b"version = 3\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://x\"\nchecksum = \"00\"\ndependencies = [\n \"b 1.0.0 (registry+https://x)\",\n \"c\",\n]\n"),
    ("go.mod", b"module r\n\ngo 1.22\n\nrequire (\n\ta.b/c v1.0.0 // indirect\n\td v2.0.0+incompatible\n)\n\nreplace a.b/c => ../c\nreplace d v2 => e v3\nexclude f v1\n"),
    ("go.sum", b"a.b/c v1.0.0 h1:x=\na.b/c v1.0.0/go.mod h1:y=\n"),
    ("requirements.txt", b"a==1.0 ; python_version < '3' \\\n  --hash=sha256:00\n-r other.txt\nb[x,y]===1!2.0+l # c\nc @ git+https://x\n"),
    ("setup.py", b"install_requires=['a==1.0', \"b==%s\" % v, 'c>=1']\n"),
    ("poetry.lock", b"[[package]]\nname = \"A\"\nversion = \"1\"\noptional = false\n\n[package.dependencies]\nb = {version = \"^1\", optional = true, markers = \"x\", extras = [\"y\"]}\nc = [{version = \"1\"}, \"2\"]\n\n[package.extras]\nz = [\"b (>=1)\"]\n"),
    ("Pipfile.lock", br#"{"default":{"a":{"hashes":["sha256:0"],"index":"pypi","version":"==1.0"}},"develop":{}}"#),
    ("uv.lock", b"version = 1\n\n[[package]]\nname = \"a\"\nversion = \"1\"\nsource = { registry = \"https://x\" }\ndependencies = [{ name = \"b\", marker = \"m\", extra = [\"e\"] }]\n\n[package.optional-dependencies]\nx = [{ name = \"b\" }]\n"),
    ("pdm.lock", b"[metadata]\nlock_version = \"4.5\"\n\n[[package]]\nname = \"a\"\nversion = \"1\"\nrequires_python = \">=3\"\nsummary = \"s\"\ndependencies = [\"b>=1; m\"]\nfiles = [{file = \"a.whl\", hash = \"sha256:0\"}]\n"),
    ("Gemfile.lock", b"GEM\n  remote: https://x/\n  specs:\n    a (1.0)\n      b (~> 2)\n    b (2-x86_64-linux)\n\nDEPENDENCIES\n  a!\n"),
    ("specifications/a-1.gemspec", b"Gem::Specification.new do |s|\n  s.name = \"a\".freeze\n  s.version = \"1.0\"\n  s.authors = [\"x\\u{41}\".freeze]\n  s.files = [\"a\", \"b\"]\n  s.licenses = [\"MIT\".freeze]\nend\n"),
    ("composer.lock", br#"{"packages":[{"name":"a/b","version":"1","source":{"type":"git","url":"u","reference":"r"},"require":{"php":">=7","c/d":"*"},"license":["MIT"],"authors":[{"name":"n"}]}],"packages-dev":[]}"#),
    ("vendor/composer/installed.json", br#"{"packages":[{"name":"a/b","version":"v1","dist":{"type":"zip","url":"u","shasum":""},"require":{"c/d":"1"}}]}"#),
    ("opt/a.deps.json", br#"{"runtimeTarget":{"name":"n","signature":""},"targets":{"n":{"a/1.0.0":{"dependencies":{"b":"2.0.0"},"runtime":{"a.dll":{"assemblyVersion":"1.0.0.0","fileVersion":"1.0.0"}}},"b/2.0.0":{"runtime":{"lib/b.dll":{}}}}},"libraries":{"a/1.0.0":{"type":"project","serviceable":false,"sha512":""},"b/2.0.0":{"type":"package","sha512":"x","path":"b/2.0.0","hashPath":"h"}}}"#),
    ("packages.lock.json", br#"{"version":1,"dependencies":{"net8.0":{"a":{"type":"Direct","requested":"[1,)","resolved":"1.0.0","contentHash":"x","dependencies":{"b":"2.0.0"}},"b":{"type":"Transitive","resolved":"2.0.0"}}}}"#),
    (".github/workflows/a.yml", b"jobs:\n  a:\n    uses: o/r/.github/workflows/x.yml@v1\n    steps:\n      - uses: actions/checkout@0123456789012345678901234567890123456789 # v4.1.0\n      - uses: ./x\n      - uses: docker://alpine:3\n"),
    (".github/actions/a/action.yml", b"runs:\n  using: composite\n  steps:\n    - uses: a/b/c@v2\n"),
    ("rebar.lock", b"{\"1.2.0\",\n[{<<\"a\">>,{pkg,<<\"a\">>,<<\"1.0\">>},0},\n {<<\"b\">>,{git,\"https://x\",{ref,\"00\"}},1}]}.\n[{pkg_hash,[{<<\"a\">>, <<\"00\">>}]},{pkg_hash_ext,[{<<\"a\">>, <<\"11\">>}]}].\n"),
    ("mix.lock", b"%{\n  \"a\": {:hex, :a, \"1.0.0\", \"00\", [:mix], [{:b, \"~> 1\", [hex: :b, repo: \"hexpm\", optional: true]}], \"hexpm\", \"11\"},\n  \"c\": {:git, \"https://x\", \"00\", []},\n}\n"),
    ("ebin/a.app", b"{application,a,[{description,\"d\"},{vsn,\"1.0\"},{applications,[kernel,stdlib]}]}.\n"),
    ("stack.yaml", b"resolver: lts-20\nextra-deps:\n- a-1.0@sha256:00,12\n- git: x\n"),
    ("stack.yaml.lock", b"packages:\n- completed:\n    hackage: a-1.0@sha256:00,12\n    pantry-tree:\n      size: 1\nsnapshots:\n- completed:\n    url: u\n"),
    ("cabal.project.freeze", b"constraints: any.a ==1.0,\n             any.b ==2.0,\n             b +x -y\n"),
    ("R/library/a/DESCRIPTION", b"Package: a\nVersion: 1.0\nLicense: GPL (>= 2) | MIT + file LICENSE\nAuthor: x [aut],\n  y\nImports: b (>= 1), c\nNeedsCompilation: no\nBuilt: R 4.2; ; 2024\n"),
    ("conda-meta/a-1-0.json", br#"{"name":"a","version":"1","build":"0","build_number":0,"depends":["b >=1"],"files":["bin/a"],"paths_data":{"paths":[{"_path":"bin/a","path_type":"hardlink","sha256":"0","size_in_bytes":1}],"paths_version":1},"link":{"source":"s","type":1},"license":"MIT","size":1,"timestamp":1}"#),
    ("a-1.0-1.rockspec", b"package = \"a\"\nversion = \"1.0-1\"\nsource = { url = \"git://x\", tag = 'v1' }\ndescription = { summary = [[s]], license = \"MIT\", homepage = 'h' }\ndependencies = { \"lua >= 5.1, < 5.4\", 'b ~> 1' }\n"),
    ("usr/share/php/.registry/a.reg", br#"a:4:{s:4:"name";s:1:"a";s:7:"channel";s:12:"pear.php.net";s:7:"version";a:1:{s:7:"release";s:5:"1.0.0";}s:7:"license";a:1:{s:8:"_content";s:3:"MIT";}}"#),
    ("usr/lib/perl5/auto/A/B/.packlist", b"/usr/lib/perl5/A/B.pm\n/usr/bin/b type=file\n"),
    ("usr/lib/perl5/.meta/A-B-1.0/install.json", br#"{"name":"A::B","version":"1.0","dist":"A-B-1.0","provides":{"A::B":{"version":"1.0","file":"B.pm"}},"pathname":"X/XX/A-B-1.0.tar.gz"}"#),
    ("usr/lib/perl5/A/B.pm", b"package A::B 1.2 { our $VERSION = '1.0'; }\nour $VERSION = version->declare(\"v1.2.3\");\n"),
    ("wp-content/plugins/a/b.php", b"<?php\n/**\n * Plugin Name: A\n * Version: 1.0\n * License: GPLv2\n * Author: x\n */\n"),
    ("Package.resolved", br#"{"pins":[{"identity":"a","kind":"remoteSourceControl","location":"https://x/a","state":{"revision":"00","version":"1.0"}}],"object":{"pins":[{"package":"b","repositoryURL":"https://x","state":{"branch":null,"revision":"0","version":"2"}}]},"version":2}"#),
    ("Podfile.lock", b"PODS:\n  - A (1.0):\n    - B/C (~> 2)\n  - B/C (2.0)\n\nDEPENDENCIES:\n  - A\n\nSPEC CHECKSUMS:\n  A: 00\n\nCOCOAPODS: 1.11\n"),
    ("pubspec.lock", b"packages:\n  a:\n    dependency: \"direct main\"\n    description:\n      name: a\n      url: \"https://pub.dev\"\n      resolved-ref: r\n    source: hosted\n    version: \"1.0.0\"\nsdks:\n  dart: \">=2\"\n"),
    ("pubspec.yaml", b"name: a\nversion: 1.0.0+1\nhomepage: h\nenvironment:\n  sdk: '>=2'\ndependencies:\n  b: ^1\n"),
    ("conanfile.txt", b"[requires]\na/1.0@u/c#rev\nb/[>=1 <2]\n\n[options]\na:x=True\n"),
    ("conan.lock", br#"{"version":"0.5","requires":["a/1.0#0123%1.2","b/2"],"build_requires":["c/1"],"graph_lock":{"nodes":{"0":{"ref":"r/1","requires":["1"],"options":""},"1":{"ref":"a/1.0#0","package_id":"p","prev":"0","context":"host"}}}}"#),
    ("a/1.0/u/c/package/00/conaninfo.txt", b"[settings]\n    os=Linux\n[requires]\n    b/2.Y.Z\n[full_requires]\n    b/2.0:00\n[recipe_hash]\n    00\n"),
    ("vcpkg.json", br#"{"name":"a","version-semver":"1.0","port-version":1,"dependencies":["b",{"name":"c","version>=":"1"}],"overrides":[{"name":"b","version":"2"}]}"#),
    (".terraform.lock.hcl", b"provider \"registry.terraform.io/a/b\" {\n  version     = \"1.0.0\"\n  constraints = \">= 1.0\"\n  hashes = [\n    \"h1:x=\",\n  ]\n}\n"),
    ("a.opam", b"opam-version: \"2.0\"\nname: \"a\"\nversion: \"1\"\nlicense: [\"MIT\" \"ISC\"]\ndepends: [\n  \"b\" {>= \"1\" & < \"2\"}\n  (\"c\" | \"d\")\n]\nurl { src: \"u\" checksum: [ \"md5=0\" ] }\n"),
    ("pack.pl", b"name(a).\nversion('1.0').\ntitle('T').\nauthor('x', 'm').\nrequires(b).\n"),
    ("pom.xml", b"<project><parent><groupId>g</groupId><artifactId>p</artifactId><version>1</version></parent><artifactId>a</artifactId><properties><v>2</v></properties><dependencies><dependency><groupId>g</groupId><artifactId>b</artifactId><version>${v}</version></dependency></dependencies></project>"),
    ("gradle.lockfile", b"# This is\ng:a:1.0=compileClasspath,runtimeClasspath\nempty=\n"),
    ("jdk/release", b"IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_RUNTIME_VERSION=\"17.0.1+12\"\nJAVA_VERSION=\"17.0.1\"\nMODULES=\"java.base java.xml\"\n"),
    ("snap/manifest.yaml", b"name: a\nversion: '1'\nprimed-stage-packages:\n- b=1.0\nparts:\n  p:\n    stage-packages: [c=2]\n"),
    ("usr/share/snappy/dpkg.yaml", b"packages:\n- b=1.0\n- c=2\n"),
    ("opt/bitnami/a/.spdx-a.spdx", br#"{"SPDXID":"SPDXRef-DOCUMENT","packages":[{"SPDXID":"SPDXRef-a","name":"a","versionInfo":"1.0-1","licenseConcluded":"MIT","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:bitnami/a@1.0-1?arch=amd64&distro=debian-12"}]}],"relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relatedSpdxElement":"SPDXRef-a","relationshipType":"DESCRIBES"}]}"#),
    ("Cellar/a/1.0/.brew/a.rb", b"class A < Formula\n  desc \"d\"\n  homepage \"h\"\n  license any_of: [\"MIT\", :public_domain]\n  url \"https://x/a-1.0.tar.gz\"\nend\n"),
    ("a.gguf", b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x0c\0\0\0\0\0\0\0general.name\x08\0\0\0\x01\0\0\0\0\0\0\0a\x01\0\0\0\0\0\0\0k\x09\0\0\0\x04\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0t\x01\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ("var/db/pkg/c/a-1.0-r1/CONTENTS", b"dir /usr\nobj /usr/bin/a 00112233445566778899aabbccddeeff 12\nsym /usr/b -> a 12\n"),
    ("var/lib/pacman/local/a-1/files", b"%FILES%\nusr/\nusr/bin/a\n\n%BACKUP%\netc/a\t00\n"),
    ("opkg/lib/opkg/status", b"Package: a\nVersion: 1\nStatus: install user installed\nArchitecture: x\nConffiles:\n /etc/a 00\n\n"),
    ("etc/os-release", b"ID=debian\nVERSION_ID='12'\nID_LIKE=\"a b\"\nPRETTY_NAME=\"D \\\"x\\\"\"\n"),
    ("usr/share/doc/a/copyright", b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: GPL-2+ and MIT\n see /usr/share/common-licenses/GPL-2.\n"),
];

/// One change of a file.
#[derive(Clone, Debug)]
enum Change {
    Set(u16, u8),
    Insert(u16, u8),
    Remove(u16, u8),
    /// A part is put at another place.
    Copy(u16, u8, u16),
    Cut(u16),
    /// A word of a kind that readers look for.
    Word(u16, u8),
    /// A part is there this many times.
    Repeat(u16, u8, u8),
}

const WORDS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\n\n",
    b"\"",
    b"'",
    b"\\",
    b"[",
    b"]",
    b"{",
    b"}",
    b"(",
    b")",
    b"<",
    b">",
    b":",
    b",",
    b"=",
    b"==",
    b"@",
    b"/",
    b"..",
    b"%",
    b"%s",
    b"${",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"\xc3\xa9",
    b"\xe2\x80\xa8",
    b"\xf0\x9f",
    b"null",
    b"true",
    b"[[",
    b"\r\n",
    b"\t",
    b"#",
    b"&a *a",
    b"<!--",
    b"<![CDATA[",
];

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let one = prop_oneof![
        any::<(u16, u8)>().prop_map(|(a, b)| Change::Set(a, b)),
        any::<(u16, u8)>().prop_map(|(a, b)| Change::Insert(a, b)),
        any::<(u16, u8)>().prop_map(|(a, b)| Change::Remove(a, b)),
        any::<(u16, u8, u16)>().prop_map(|(a, b, c)| Change::Copy(a, b, c)),
        any::<u16>().prop_map(Change::Cut),
        any::<(u16, u8)>().prop_map(|(a, b)| Change::Word(a, b)),
        any::<(u16, u8, u8)>().prop_map(|(a, b, c)| Change::Repeat(a, b, c)),
    ];
    prop::collection::vec(one, 0..6)
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: u16| usize::from(at) % (bytes.len() + 1);
        let part = |at: u16, length: u8| {
            let at = place(at);
            at..bytes.len().min(at + usize::from(length))
        };
        match *change {
            Change::Set(at, byte) => {
                let at = place(at);
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            Change::Insert(at, byte) => bytes.insert(place(at), byte),
            Change::Remove(at, length) => drop(bytes.drain(part(at, length))),
            Change::Copy(from, length, to) => {
                let (copy, to) = (bytes[part(from, length)].to_vec(), place(to));
                bytes.splice(to..to, copy);
            }
            Change::Cut(at) => bytes.truncate(place(at)),
            Change::Word(at, word) => {
                let (at, word) = (place(at), WORDS[usize::from(word) % WORDS.len()]);
                bytes.splice(at..at, word.iter().copied());
            }
            Change::Repeat(at, length, times) => {
                let part = part(at, length);
                let copy = bytes[part.clone()].repeat(usize::from(times));
                bytes.splice(part, copy);
            }
        }
    }
    bytes
}

/// What scans of these files as an image and as a component come to.
fn scanned(files: &[(&str, &[u8])]) -> [Option<Vec<u8>>; 2] {
    let written = |document: Document| {
        let mut out = Vec::new();
        syft::write(document, "1", &mut out).unwrap();
        serde_json::from_slice::<Value>(&out).unwrap();
        out
    };
    let of_image = || {
        let mut image = Image::default();
        let stored = layer(&tar_of(files)[..], &in_memory).ok()?;
        let stored = stored.store(Vec::new()).unwrap();
        image.stack(StoredScan::open(&stored[..]).unwrap()).ok()?;
        let source = ScanTarget {
            id: "0".repeat(64),
            name: "image".to_owned(),
            version: String::new(),
            kind: "image",
            metadata: json!({}),
        };
        image.document(source).ok().map(written)
    };
    let of_component = component("base", &tar_of(files)[..], &in_memory);
    [of_image(), of_component.ok().map(written)]
}

fn seed(number: usize) -> (&'static str, Vec<u8>) {
    match SEEDS.get(number) {
        Some((path, bytes)) => (path, bytes.to_vec()),
        None => {
            let (path, content) = TEMPLATES[number - SEEDS.len()];
            (path, content(0))
        }
    }
}

proptest! {
    #![proptest_config(super::merging::config())]
    #[test]
    fn changed_lists_are_read_or_refused(
        number in 0..SEEDS.len() + TEMPLATES.len(),
        beside in 0..SEEDS.len() + TEMPLATES.len(),
        own in changes(),
        other in changes(),
    ) {
        let ((path, bytes), (second, rest)) = (seed(number), seed(beside));
        let (bytes, rest) = (changed(bytes, &own), changed(rest, &other));
        let mut files = vec![(path, &bytes[..])];
        if second != path {
            files.push((second, &rest[..]));
        }
        prop_assert_eq!(scanned(&files), scanned(&files));
    }
}

#[test]
fn seeds_are_read_as_they_are() {
    for number in 0..SEEDS.len() {
        let (path, bytes) = seed(number);
        let files = [(path, &bytes[..])];
        let known = |out: &Option<Vec<u8>>| {
            let document: Value = serde_json::from_slice(out.as_deref().unwrap()).unwrap();
            let list = |key: &str| {
                document[key]
                    .as_array()
                    .is_some_and(|list| !list.is_empty())
            };
            list("artifacts") || !document["distro"].as_object().unwrap().is_empty()
        };
        // These count beside others.
        let support = [
            "go.sum",
            "etc/os-release",
            "copyright",
            "/files",
            "CONTENTS",
            "B.pm",
        ];
        let support = support.iter().any(|end| path.ends_with(end));
        assert!(scanned(&files).iter().any(known) || support, "{path}");
    }
}
