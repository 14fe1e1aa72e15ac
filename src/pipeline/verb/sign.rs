//! Which keys of `sign` belong together.

use crate::pipeline::reader::Reader;
use crate::yaml::Fields;

/// Rejects keys of `sign` that cannot be used together.
pub(super) fn rules(f: &mut Fields<'_>, r: &mut Reader) {
    let key = f.node("key").is_some();
    let keyless = f.node("keyless");
    let keyless = keyless.is_some_and(|node| node.scalar() == Some("true"));
    if key == keyless {
        let help = "Write either `key: FILE` or `keyless: true`.";
        r.at(f.span(), "set exactly one of `key` and `keyless`", help);
    }
    let (chosen, foreign) = if keyless {
        ("keyless: true", &["passwordFile", "inPackage"][..])
    } else {
        ("key", &["identity", "issuer", "trustConfig"][..])
    };
    for name in foreign {
        if let Some(node) = f.node(name) {
            let message = format!("`{name}` cannot be used with `{chosen}`");
            r.at(node.span, message, format!("Remove `{name}`."));
        }
    }
    if f.node("identity").is_some() != f.node("issuer").is_some() {
        let message = "`identity` and `issuer` must be set together";
        r.at(f.span(), message, "Write both, or neither.");
    }
}
