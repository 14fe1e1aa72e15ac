//! Damage in the cache heals within the build that finds it, and a cache that cannot
//! be written to is used all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{Sandbox, settle};

/// Every blob of the cache.
fn blobs(sandbox: &Sandbox) -> Vec<PathBuf> {
    let files = sandbox.cached_files().into_iter().map(|(path, _)| path);
    files
        .filter(|path| path.to_string_lossy().contains("/blobs/"))
        .collect()
}

fn spoil(blob: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(blob, fs::Permissions::from_mode(0o644)).unwrap();
    let length = usize::try_from(fs::metadata(blob).unwrap().len()).unwrap();
    fs::write(blob, vec![0; length]).unwrap();
}

#[test]
fn every_blob_that_is_damaged_is_made_again_in_one_build() {
    let sandbox = Sandbox::new();
    sandbox.package();
    sandbox.pipeline(
        "tasks:\n  \
         t: { run: [cp, tool.sh, out.sh], inputs: [tool.sh], outputs: [out.sh], tools: [cp] }\n  \
         a: { component: { definition: jackal.yaml, name: tree } }\n  \
         b: { component: { definition: jackal.yaml, name: tool } }\n  \
         s: { sbom: { of: [a, b] } }\n  \
         p: { package: { definition: jackal.yaml, components: [a, b], sboms: s } }\n",
    );
    settle();
    let build = || {
        let said = sandbox.run(&["build", "--pipeline", "p.yaml"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        said
    };
    build();
    let sum = sandbox.archive_sum();
    let all = blobs(&sandbox);
    assert!(all.len() > 5, "{all:?}");
    let remove = || {
        fs::remove_file(sandbox.archive()).unwrap();
        fs::remove_file(sandbox.src().join("out.sh")).unwrap();
    };
    all.iter().for_each(|blob| spoil(blob));
    remove();
    let told = build().stderr;
    assert_eq!(sandbox.archive_sum(), sum);
    let cache = format!("the cache at `{}` held", sandbox.cache().display());
    assert!(told.contains(&cache), "{told}");
    remove();
    assert!(!build().stderr.contains("held"), "it is whole again");
}

#[test]
fn a_full_hit_needs_no_cache_that_can_be_written_to() {
    let sandbox = Sandbox::new();
    sandbox.package();
    let first = sandbox.run(&["build"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let cache = sandbox.cache();
    let dead = cache.join("v1/ingest/.jackal-tmp-dead");
    fs::create_dir_all(&dead).unwrap();
    fs::write(dead.join("alive"), "").unwrap();
    // As after an hour, and in a fresh checkout.
    fs::remove_file(cache.join("v1/access.log")).unwrap();
    let file = fs::File::options()
        .append(true)
        .open(sandbox.src().join("tool.sh"));
    file.unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    fs::remove_file(sandbox.archive()).unwrap();
    settle();
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" || exit 77; exec \"$2\" build";
    command
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(&cache)
        .arg(env!("CARGO_BIN_EXE_jackal"))
        .current_dir(sandbox.src())
        .env("JACKAL_CACHE", &cache);
    let Ok(output) = command.output() else { return };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("unshare") || output.status.code() == Some(77) {
        // No namespaces here.
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(sandbox.archive().is_file());
    assert!(stderr.contains("0 executed"), "{stderr}");
}
