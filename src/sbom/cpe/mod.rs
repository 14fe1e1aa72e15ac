//! Common Platform Enumerations: the names by which vulnerability databases know packages.
//!
//! Few are certain. Others are candidates, made of the name and the owners of a package,
//! because scanners look vulnerabilities up by them. Which ones were learned from the
//! documents that syft writes, so that a scanner finds the same with both.

mod candidates;
mod java;
mod listed;
mod names;

use super::document::Package;
use names::Candidates;

/// Maximum text of all candidates of a package, in bytes. Those with many authors have ten
/// thousand.
const MAX_TEXT: usize = 12 << 10;

/// How a name was obtained, as documents call it.
pub(super) const DECLARED: &str = "declared";
const LISTED: &str = "nvd-cpe-dictionary";
const GENERATED: &str = "syft-generated";

/// The names of `package`, each with how it was obtained. Those that are certain are the
/// only ones, and so are those that the National Vulnerability Database lists.
pub(super) fn of(package: &Package) -> Vec<(String, &'static str)> {
    if !package.cpes.is_empty() {
        // Tables of programs name them as that database does.
        let source = match package.ecosystem.metadata_type {
            "binary-signature" => LISTED,
            _ => DECLARED,
        };
        let cpes = package.cpes.iter();
        return cpes.map(|cpe| (cpe.clone(), source)).collect();
    }
    let known = listed::of(package);
    if !known.is_empty() {
        let version = &package.version;
        let known = known.iter();
        let cpes = known.map(|one| (cpe(one.vendor, one.product, version, one.target), LISTED));
        return cpes.collect();
    }
    let Candidates {
        vendors,
        products,
        target,
    } = candidates::of(package);
    let (vendors, products) = (vendors.sorted(), products.sorted());
    let pairs = vendors
        .iter()
        .flat_map(|vendor| products.iter().map(move |product| (vendor, product)));
    let mut room = MAX_TEXT;
    pairs
        .map(|(vendor, product)| cpe(vendor, product, &package.version, &target))
        .map_while(|cpe| {
            room = room.checked_sub(cpe.len())?;
            Some((cpe, GENERATED))
        })
        .collect()
}

fn cpe(vendor: &str, product: &str, version: &str, target: &str) -> String {
    let version = if version == "UNKNOWN" { "" } else { version };
    let [vendor, product, version, target] = [vendor, product, version, target].map(escaped);
    format!("cpe:2.3:a:{vendor}:{product}:{version}:*:*:*:*:{target}:*:*")
}

/// A value of a formatted string. Source: NIST IR 7695, section 6.2.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '-' | '.' | '_') {
            out.push('\\');
        }
        out.push(if c.is_whitespace() { '_' } else { c });
    }
    if out.is_empty() { "*".to_owned() } else { out }
}

#[cfg(test)]
mod tests;
