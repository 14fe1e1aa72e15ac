//! Plugins of WordPress that are installed: the comment with which the main file of each
//! begins.

use std::io::Read as _;

use serde_json::json;

use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::body::Body;
use crate::sbom::document::{Ecosystem, Evidence, License, Package};
use crate::sbom::layer::Extracted;
use crate::sbom::squash::View;

pub(super) const CATALOGUER: Cataloguer = Cataloguer {
    ecosystem: PLUGIN,
    scope: Scope::Everywhere,
    finds: Finds::InExtracts {
        lists: |folder, name| name.ends_with(".php") && plugin(folder).is_some(),
        longest: 16 << 20,
        extract: head,
        find: |view, path, head, found: &mut Found| {
            let package = one(view, path, &String::from_utf8_lossy(head));
            package.into_iter().for_each(|package| found.push(package));
        },
    },
};

const PLUGIN: Ecosystem = Ecosystem {
    kind: "wordpress-plugin",
    language: "php",
    found_by: "wordpress-plugins-cataloger",
    metadata_type: "wordpress-plugin-entry",
};

/// How much of a file WordPress reads to find the comment, in bytes: 8 KiB.
///
/// Source: WordPress Code Reference, `get_file_data`.
const HEAD: u64 = 8 << 10;

const NAME: &str = "Plugin Name";

/// The folder of the plugin whose files are in `folder`.
fn plugin(folder: &str) -> Option<&str> {
    let (outer, name) = folder.rsplit_once('/')?;
    let is_plugins = outer == "wp-content/plugins" || outer.ends_with("/wp-content/plugins");
    is_plugins.then_some(name)
}

fn head(_: &str, body: &mut Body) -> Extracted {
    let mut head = Vec::new();
    match body.take(HEAD).read_to_end(&mut head) {
        Ok(_) if memchr::memmem::find(&head, NAME.as_bytes()).is_some() => Extracted::Facts(head),
        Ok(_) => Extracted::Nothing,
        Err(_) => Extracted::Unreadable("it cannot be read".to_owned()),
    }
}

fn one(view: &View, path: &str, head: &str) -> Option<Package> {
    let get = |key: &str| {
        let mut values = head.lines().filter_map(|line| {
            let line = line.trim_start_matches(|c: char| c.is_whitespace() || "/*#@".contains(c));
            line.strip_prefix(key)?.trim_start().strip_prefix(':')
        });
        let value = values.next().unwrap_or_default().trim();
        value.trim_end_matches("*/").trim_end()
    };
    let (name, version) = (get(NAME), get("Version"));
    if name.is_empty() || version.is_empty() {
        return None;
    }
    let mut package = Package::new(PLUGIN, name, version);
    let location = view.location(path, Evidence::Primary);
    package.locations.extend(location);
    if !get("License").is_empty() {
        package
            .licenses
            .insert(License::new(get("License").to_owned()));
    }
    let (folder, _) = path.rsplit_once('/')?;
    let mut facts = json!({"pluginInstallDirectory": plugin(folder)?});
    for (key, field) in [("author", "Author"), ("authorUri", "Author URI")] {
        if !get(field).is_empty() {
            facts[key] = json!(get(field));
        }
    }
    package.describe(&facts);
    Some(package)
}

#[cfg(test)]
mod tests {
    use super::super::find_in;
    use super::*;

    #[test]
    fn a_plugin_is_described_by_the_head_of_its_main_file() {
        let main = b"<?php\n/**\n * Plugin Name: Akismet: Spam\n * Version:  5.3\n * Author: A\n */\n// License: GPLv2 or later\n";
        let late = [&vec![b'\n'; 9000][..], &main[..]].concat();
        let files: &[(&str, &[u8])] = &[
            ("var/www/wp-content/plugins/akismet/akismet.php", main),
            (
                "var/www/wp-content/plugins/akismet/class.php",
                b"<?php\n/* Plugin Name: \xff */",
            ),
            ("var/www/wp-content/plugins/late/late.php", &late),
            ("var/www/wp-content/plugins/a/deeper/a.php", main),
            ("var/www/wp-content/themes/a/a.php", main),
        ];
        let found = find_in(&CATALOGUER, files);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].version.as_str()),
            ("Akismet: Spam", "5.3")
        );
        assert_eq!(found[0].licenses.first().unwrap().value, "GPLv2 or later");
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"author":"A","pluginInstallDirectory":"akismet"}"#
        );
    }
}
