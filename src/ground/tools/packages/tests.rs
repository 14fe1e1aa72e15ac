//! Databases made here: dpkg's, apk's, and one that is not understood.

use std::fs;
use std::path::Path;

use super::*;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn fresh(root: &Path) -> Memory {
    Memory::new(root.join("memory"))
}

const STATUS: &str = "Package: gcc-12\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.2\nDepends: cpp-12 (= 12.2), libc6 (>= 2.36) | libc7, as:any\n\n\
Package: cpp-12\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.2\n\n\
Package: binutils\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.40\nProvides: as (= 1)\n\n\
Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\n\n\
Package: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2.36\n\n\
Package: libc6-dev\nStatus: install ok installed\nArchitecture: amd64\nVersion: HEADERS\n\n\
Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2\n";

fn dpkg(root: &Path, status: &str) {
    put(root, "var/lib/dpkg/status", status);
    let lists = [
        ("gcc-12", "/.\n/usr/bin/gcc-12\n"),
        ("bash", "/.\n/bin/bash\n"),
        ("libc6:i386", "/lib32/libc.so.6\n"),
        ("gone", "/usr/bin/gone\n"),
    ];
    for (name, files) in lists {
        put(root, &format!("var/lib/dpkg/info/{name}.list"), files);
    }
}

#[test]
fn a_file_of_dpkg_is_identified_by_its_package_and_what_that_needs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    dpkg(root, STATUS);
    let owner = |path: &str| owner(&fresh(root), root, Path::new(path));
    let gcc = owner("/usr/bin/gcc-12").unwrap();
    assert_eq!(gcc.label, "gcc-12 12.2 (amd64)");
    // cpp-12, libc6, binutils by what it provides, and the headers.
    assert_eq!(gcc.dependencies, 4);
    assert_eq!(owner("/usr/bin/bash").unwrap().label, "bash 5.2 (amd64)");
    assert_eq!(
        owner("/lib32/libc.so.6").unwrap().label,
        "libc6 2.36 (i386)"
    );
    assert_eq!(owner("/usr/bin/gone"), None);
    assert_eq!(owner("/usr/bin/gcc"), None);
    for (from, to, same) in [
        ("HEADERS", "other", false),
        ("Version: 2.40", "Version: 2.41", false),
        ("Version: 5.2", "Version: 5.3", true),
    ] {
        dpkg(root, &STATUS.replace(from, to));
        let now = owner_of(root, "/usr/bin/gcc-12");
        assert_eq!(now == gcc, same, "{to}");
    }
}

fn owner_of(root: &Path, path: &str) -> Package {
    owner(&fresh(root), root, Path::new(path)).unwrap()
}

#[test]
fn a_file_of_apk_is_identified_by_its_package_and_what_that_needs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let database = "C:x\nP:make\nV:4.4\nA:x86_64\nD:so:libc.musl-x86_64.so.1 !other\np:cmd:make=4.4\nF:\nF:usr/bin\nR:make\na:0:0:755\n\n\
P:musl\nV:1.2.5\nA:x86_64\np:so:libc.musl-x86_64.so.1=1\nF:lib\nR:ld-musl-x86_64.so.1\n\n\
P:busybox\nV:1.36\nA:x86_64\nF:bin\nR:busybox\n\n";
    put(root, "lib/apk/db/installed", database);
    let make = owner_of(root, "/usr/bin/make");
    assert_eq!(make.label, "make 4.4 (x86_64)");
    assert_eq!(make.dependencies, 2, "the C library, and the shell");
    assert_eq!(owner_of(root, "/usr/bin/busybox").dependencies, 0);
    put(
        root,
        "lib/apk/db/installed",
        &database.replace("1.2.5", "1.2.6"),
    );
    assert_ne!(owner_of(root, "/usr/bin/make"), make);
}

#[test]
fn without_a_reader_the_database_as_a_whole_identifies_files_of_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(root, "var/lib/rpm/rpmdb.sqlite", "one");
    let before = owner_of(root, "/usr/bin/cc");
    assert_eq!(
        owner(&fresh(root), root, Path::new("/usr/local/bin/x")),
        None
    );
    put(root, "var/lib/rpm/rpmdb.sqlite", "two");
    assert_ne!(owner_of(root, "/usr/bin/cc"), before);
}

#[test]
fn a_database_that_did_not_change_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    dpkg(root, STATUS);
    let past = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    let status = fs::File::options()
        .write(true)
        .open(root.join("var/lib/dpkg/status"))
        .unwrap();
    status.set_times(past).unwrap();
    let memory = fresh(root);
    let path = Path::new("/usr/bin/gcc-12");
    let first = owner(&memory, root, path);
    memory.save();
    assert!(
        !root.join("memory").exists(),
        "the time of change is too recent"
    );
    memory.hold().facts().changed = true;
    memory.save();
    let again = fresh(root);
    assert_eq!(owner(&again, root, path), first);
    assert!(again.hold().facts().listing.is_none(), "nothing was read");
    let unknown = named(&again, root, "none").unwrap_err().to_string();
    assert!(unknown.contains("`none`"), "{unknown}");
    assert_eq!(named(&again, root, "libc6-dev").unwrap().dependencies, 0);
}
