//! The files of generated layers: of each kind that a cataloguer reads, four contents.

use crate::sbom::binary::tests::elf;

/// Where files are put. Some of these folders become links to others.
pub(super) const PREFIXES: &[&str] = &["", "", "", "usr/", "app/", "opt/x/", "l/", "srv/m/"];

/// Those that may become links.
pub(super) const LINKS: std::ops::Range<usize> = 4..8;

pub(in crate::sbom::scan) type Content = fn(u8) -> Vec<u8>;

pub(in crate::sbom::scan) const TEMPLATES: &[(&str, Content)] = &[
    ("var/lib/dpkg/status", |variant| {
        let stanza = |name: &str| {
            format!(
                "Package: {name}\nStatus: install ok installed\nVersion: 1.{variant}\nArchitecture: amd64\nDepends: b\nSource: src\n\n"
            )
        };
        // A part of the packages each, and once none.
        let names = ["a", "b"].iter().enumerate();
        let chosen = names.filter(|(bit, _)| variant & (1 << bit) == 0);
        chosen
            .map(|(_, name)| stanza(name))
            .collect::<String>()
            .into_bytes()
    }),
    ("var/lib/dpkg/status.d/c", |variant| {
        format!("Package: c\nVersion: 2.{variant}\nArchitecture: amd64\n\n").into_bytes()
    }),
    ("var/lib/dpkg/info/a.md5sums", |variant| {
        format!("0000000000000000000000000000000{variant}  usr/bin/a\n").into_bytes()
    }),
    ("usr/share/doc/a/copyright", |variant| {
        let licenses = ["MIT", "GPL-2+", "Apache-2.0", "BSD-3-clause"];
        format!("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: {}\n", licenses[usize::from(variant)]).into_bytes()
    }),
    ("usr/bin/a", |variant| {
        elf(&[(".go.buildinfo", &go(variant))])
    }),
    ("usr/bin/plain", |variant| vec![variant; 100]),
    ("bin/busybox", |variant| {
        elf(&[(
            ".rodata",
            format!("\0BusyBox v1.3{variant}.1 (2024-01-01)\0").as_bytes(),
        )])
    }),
    ("lib/x.so", |variant| {
        let json =
            format!(r#"{{"type":"deb","name":"noted","version":"{variant}","os":"debian"}}"#);
        let mut note = vec![
            4,
            0,
            0,
            0,
            json.len() as u8 + 1,
            0,
            0,
            0,
            0x7e,
            0x1a,
            0xfe,
            0xca,
        ];
        note.extend(b"FDO\0");
        note.extend(json.as_bytes());
        note.push(0);
        elf(&[(".note.package", &note)])
    }),
    ("lib/apk/db/installed", |variant| {
        let one = |name: &str| {
            format!(
                "P:{name}\nV:1.{variant}-r0\nA:x86_64\no:{name}\nL:MIT\nF:usr/bin\nR:a\nF:usr/lib\nR:x\n\n"
            )
        };
        let names = ["musl", "zlib"].iter().enumerate();
        let chosen = names.filter(|(bit, _)| variant & (1 << bit) == 0);
        chosen
            .map(|(_, name)| one(name))
            .collect::<String>()
            .into_bytes()
    }),
    ("var/lib/rpm/Packages.db", rpm),
    ("usr/lib/sysimage/rpm/Packages.db", rpm),
    ("var/lib/rpmmanifest/container-manifest-2", |variant| {
        format!("filesystem\t1.{variant}-10.cm2\t1653816591\t1653753130\tMicrosoft Corporation\t(none)\t7596\tx86_64\t0\tfilesystem-1.1-10.cm2.src.rpm\n").into_bytes()
    }),
    ("var/lib/pacman/local/foo-1/desc", |variant| {
        format!("%NAME%\nfoo\n\n%VERSION%\n1-{variant}\n\n%ARCH%\nany\n").into_bytes()
    }),
    ("package.json", |variant| package("root", variant)),
    ("node_modules/x/package.json", |variant| {
        package("x", variant)
    }),
    ("node_modules/x/node_modules/y/package.json", |variant| {
        package("y", variant)
    }),
    (
        "lib/python3/site-packages/p-1.dist-info/METADATA",
        |variant| {
            format!("Metadata-Version: 2.1\nName: p\nVersion: 1.{variant}\nLicense: MIT\nRequires-Dist: q\n").into_bytes()
        },
    ),
    (
        "lib/python3/site-packages/p-1.dist-info/RECORD",
        |variant| {
            format!(
                "p/__init__.py,sha256=AAAA,{variant}\np-1.dist-info/METADATA,,\n../../../bin/a,,\n"
            )
            .into_bytes()
        },
    ),
    (
        "lib/python3/site-packages/p-1.dist-info/top_level.txt",
        |_| b"p\n".to_vec(),
    ),
    ("lib/python3/site-packages/q.egg-info/PKG-INFO", |variant| {
        format!("Metadata-Version: 1.1\nName: q\nVersion: 2.{variant}\n").into_bytes()
    }),
    ("lib/a.jar", jar),
    ("lib/b.war", |variant| {
        zipped(&[("WEB-INF/lib/in.jar", &jar(variant))])
    }),
    ("LICENSE", |variant| match variant {
        0 => {
            b"Permission is hereby granted, free of charge, to any person obtaining a copy".to_vec()
        }
        _ => b"GNU LESSER GENERAL PUBLIC LICENSE Version 3".to_vec(),
    }),
    ("etc/os-release", release),
    ("usr/lib/os-release", release),
    ("etc/debian_version", |variant| {
        format!("12.{variant}\n").into_bytes()
    }),
    ("specifications/g-1.gemspec", |variant| {
        format!("Gem::Specification.new do |s|\n  s.name = \"g\".freeze\n  s.version = \"1.{variant}\"\n  s.licenses = [\"MIT\".freeze]\nend\n").into_bytes()
    }),
    ("vendor/composer/installed.json", |variant| {
        format!(r#"{{"packages":[{{"name":"v/p","version":"1.{variant}","license":["MIT"]}}]}}"#)
            .into_bytes()
    }),
    ("app.deps.json", |variant| {
        format!(r#"{{"runtimeTarget":{{"name":"n"}},"targets":{{"n":{{"app/1.{variant}":{{"runtime":{{"app.dll":{{}}}}}}}}}},"libraries":{{"app/1.{variant}":{{"type":"project"}}}}}}"#).into_bytes()
    }),
    ("jvm/release", |variant| {
        format!("JAVA_VERSION=\"21.0.{variant}\"\nIMPLEMENTOR=\"Eclipse Adoptium\"\n").into_bytes()
    }),
    ("conda-meta/c-1-0.json", |variant| {
        format!(r#"{{"name":"c","version":"1.{variant}","build":"0","files":["bin/a"]}}"#)
            .into_bytes()
    }),
];

fn package(name: &str, variant: u8) -> Vec<u8> {
    let text = format!(
        r#"{{"name":"{name}","version":"1.{variant}.0","license":"MIT","dependencies":{{"y":"1"}}}}"#
    );
    text.into_bytes()
}

fn release(variant: u8) -> Vec<u8> {
    let id = ["debian", "alpine", "rhel", "azurelinux"][usize::from(variant)];
    format!("ID={id}\nVERSION_ID=\"{variant}\"\nPRETTY_NAME=\"{id}\"\n").into_bytes()
}

fn go(variant: u8) -> Vec<u8> {
    let mut data = b"\xff Go buildinf:".to_vec();
    data.extend([8, 2]);
    data.resize(32, 0);
    data.push(6);
    data.extend(b"go1.22");
    let modules = format!("path\te.org/a\nmod\te.org/a\tv1.{variant}.0\th1:x=\n");
    data.push(32 + modules.len() as u8);
    data.extend([b's'; 16]);
    data.extend(modules.as_bytes());
    data.extend([b'e'; 16]);
    data
}

fn jar(variant: u8) -> Vec<u8> {
    let manifest = format!("Manifest-Version: 1.0\nImplementation-Version: 1.{variant}\n");
    let properties = format!("groupId=org.g\nartifactId=a\nversion=1.{variant}\n");
    zipped(&[
        ("META-INF/MANIFEST.MF", manifest.as_bytes()),
        (
            "META-INF/maven/org.g/a/pom.properties",
            properties.as_bytes(),
        ),
    ])
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A database of one package in the format ndb.
fn rpm(variant: u8) -> Vec<u8> {
    let (version, owned) = (format!("1.{variant}"), ["a", "/usr/bin/"]);
    let texts = [(1000, "r"), (1001, &version), (1002, "1"), (1022, "x86_64")];
    let (mut index, mut data) = (Vec::<u8>::new(), Vec::<u8>::new());
    let mut tag = |tag: u32, kind: u32, value: &[u8]| {
        for word in [tag, kind, data.len() as u32, 1] {
            index.extend(word.to_be_bytes());
        }
        data.extend(value);
    };
    // Numbers are aligned.
    tag(1116, 4, &0_u32.to_be_bytes());
    for (number, text) in texts {
        tag(number, 6, format!("{text}\0").as_bytes());
    }
    for (number, text) in [1117, 1118].into_iter().zip(owned) {
        tag(number, 8, format!("{text}\0").as_bytes());
    }
    let mut header = 7_u32.to_be_bytes().to_vec();
    header.extend((data.len() as u32).to_be_bytes());
    header.extend(index);
    header.extend(data);
    let mut blob = b"BlbS".to_vec();
    for word in [1, 1, header.len() as u32] {
        blob.extend(word.to_le_bytes());
    }
    blob.extend(header);
    blob.resize(blob.len().next_multiple_of(16), 0);
    let mut bytes = b"RpmP".to_vec();
    for word in [0_u32, 1, 1, 0, 0, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"Slot");
    for word in [1_u32, 256, blob.len() as u32 / 16] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.resize(4096, 0);
    bytes.extend(blob);
    bytes
}
