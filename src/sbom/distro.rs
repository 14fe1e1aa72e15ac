//! Facts about the distribution of a system, from the files where it describes itself.
//!
//! Most have an os-release file; older ones, and the smallest, say it elsewhere.

use serde_json::{Map, Value, json};

use super::layer::{Keep, Most};

/// Where distributions describe themselves, in order of preference.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Names of the files that are read. The folder does not count: links may lead there
/// from one of the known places.
const NAMES: [&str; 10] = [
    "os-release",
    "debian_version",
    "system-release-cpe",
    "system-release",
    "redhat-release",
    "centos-release",
    "fedora-release",
    "rocky-release",
    "almalinux-release",
    "oracle-release",
];

/// Longest description of a distribution, in bytes: 64 KiB. They have a few hundred bytes.
const LONGEST: u64 = 64 << 10;

/// Whether a scan must keep the file at `path` for [`read`].
pub(super) fn wanted(path: &str) -> Option<Keep> {
    let name = path.rsplit('/').next()?;
    let repositories = name == "repositories" && path.ends_with("etc/apk/repositories");
    let named = NAMES.contains(&name) || repositories;
    named.then_some(Keep::Whole(Most::Skip(LONGEST)))
}

/// Facts about the distribution whose system has its root at `root`; an empty object if
/// unknown. `file` returns the text at a path.
pub(super) fn read(file: &dyn Fn(&str) -> Option<String>, root: &str) -> Value {
    let text = |path: &str| file(&under(root, path));
    let releases = OS_RELEASE.iter().filter_map(|path| text(path));
    let mut facts = releases
        .map(|release| os_release(&release))
        .find(|facts| !facts.is_empty())
        .or_else(|| release_cpe(&text("etc/system-release-cpe")?))
        .or_else(|| redhat_release(&text("etc/redhat-release")?))
        .or_else(|| apk_repositories(&text("etc/apk/repositories")?))
        .unwrap_or_default();
    // Debian's os-release has no point release.
    if facts.get("id").is_some_and(|id| id == "debian")
        && let Some(version) = text("etc/debian_version")
        && is_version(version.trim())
    {
        facts.insert("versionID".to_owned(), json!(version.trim()));
    }
    Value::Object(facts)
}

/// The path of `path` in the system at `root`.
pub(super) fn under(root: &str, path: &str) -> String {
    match root {
        "" => path.to_owned(),
        root => format!("{root}/{path}"),
    }
}

fn is_version(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    text.len() < 20 && text.splitn(2, '.').all(number)
}

fn os_release(text: &str) -> Map<String, Value> {
    let mut facts = Map::new();
    for line in text.lines() {
        let Some((key, value)) = line.trim().split_once('=') else {
            continue;
        };
        let value = value.trim_matches(['"', '\'']);
        let key = match key {
            "PRETTY_NAME" => "prettyName",
            "NAME" => "name",
            "ID" => "id",
            "ID_LIKE" => {
                let ids: Vec<&str> = value.split_whitespace().collect();
                facts.insert("idLike".to_owned(), json!(ids));
                continue;
            }
            "VERSION" => "version",
            "VERSION_ID" => "versionID",
            "VERSION_CODENAME" => "versionCodename",
            "BUILD_ID" => "buildID",
            "IMAGE_ID" => "imageID",
            "IMAGE_VERSION" => "imageVersion",
            "VARIANT" => "variant",
            "VARIANT_ID" => "variantID",
            "HOME_URL" => "homeURL",
            "SUPPORT_URL" => "supportURL",
            "BUG_REPORT_URL" => "bugReportURL",
            "PRIVACY_POLICY_URL" => "privacyPolicyURL",
            "CPE_NAME" => "cpeName",
            "SUPPORT_END" => "supportEnd",
            _ => continue,
        };
        facts.insert(key.to_owned(), json!(value));
    }
    facts
}

/// A line such as `cpe:/o:centos:linux:6:GA`.
fn release_cpe(text: &str) -> Option<Map<String, Value>> {
    let line = text.lines().next()?.trim();
    let mut parts = line.strip_prefix("cpe:/o:")?.split(':');
    let (vendor, _, version) = (parts.next()?, parts.next()?, parts.next()?);
    let facts = json!({"name": vendor, "id": vendor, "version": version, "versionID": version, "cpeName": line});
    facts.as_object().cloned()
}

/// A line such as `CentOS release 6.10 (Final)`.
fn redhat_release(text: &str) -> Option<Map<String, Value>> {
    let line = text.lines().next()?.trim();
    let (name, rest) = line.split_once(" release ")?;
    let version = rest.split_whitespace().next()?;
    let lower = name.to_ascii_lowercase();
    let known = [
        ("red hat enterprise linux", "rhel"),
        ("centos", "centos"),
        ("rocky linux", "rocky"),
        ("scientific linux", "scientific"),
    ];
    let known = known.iter().find(|(start, _)| lower.starts_with(start));
    let id = match known {
        Some((_, id)) => (*id).to_owned(),
        None => lower.split_whitespace().next()?.to_owned(),
    };
    let mut like = vec![id.clone()];
    if id != "rhel" && known.is_some() {
        like.push("rhel".to_owned());
    }
    let facts = json!({
        "prettyName": line, "name": name, "id": id, "idLike": like,
        "version": version, "versionID": version,
    });
    facts.as_object().cloned()
}

/// Alpine, by the release that its sources of packages name.
fn apk_repositories(text: &str) -> Option<Map<String, Value>> {
    let mut releases = text.lines().filter(|line| line.contains("alpine"));
    let version = releases.find_map(|line| {
        let parts = line.split('/');
        let mut versions = parts.filter_map(|part| part.strip_prefix('v'));
        versions.find(|version| is_version(version))
    })?;
    let facts = json!({"name": "Alpine Linux", "id": "alpine", "versionID": version});
    facts.as_object().cloned()
}
