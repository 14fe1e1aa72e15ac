//! Packages that the National Vulnerability Database lists under names of its own.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::sbom::document::Package;

/// A line `[type target]` for each ecosystem, and under it lines of a package's name, and
/// of each vendor, product and, if it is another one, target.
const TABLE: &str = include_str!("listed.txt");

pub(super) struct Listed {
    pub(super) vendor: &'static str,
    pub(super) product: &'static str,
    /// The software for which it is.
    pub(super) target: &'static str,
}

/// By type and name.
type Lists = HashMap<&'static str, HashMap<&'static str, Vec<Listed>>>;

static LISTS: LazyLock<Lists> = LazyLock::new(|| read(TABLE));

fn read(table: &'static str) -> Lists {
    let mut lists = Lists::new();
    let (mut kind, mut usual) = ("", "");
    for line in table.lines() {
        if let Some(heading) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            (kind, usual) = heading.split_once(' ').unwrap_or((heading, ""));
            continue;
        }
        let mut words = line.split(' ');
        let Some(name) = words.next() else {
            continue;
        };
        let all = words.filter_map(|word| {
            let (vendor, rest) = word.split_once(':')?;
            let (product, target) = rest.split_once(':').unwrap_or((rest, usual));
            let target = if target == "*" { "" } else { target };
            Some(Listed {
                vendor,
                product,
                target,
            })
        });
        let list = lists.entry(kind).or_default();
        list.insert(name, all.collect());
    }
    lists
}

/// The names under which `package` is listed.
pub(super) fn of(package: &Package) -> &'static [Listed] {
    let list = LISTS.get(package.ecosystem.kind);
    let found = list.and_then(|list| list.get(package.name.as_str()));
    found.map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_the_table_is_read() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('['));
        let all = || LISTS.values().flat_map(HashMap::values);
        assert_eq!(all().count(), lines.count());
        assert!(all().all(|list| !list.is_empty()));
        let express = &LISTS["npm"]["express"][0];
        assert_eq!(express.target, "node.js");
    }
}
