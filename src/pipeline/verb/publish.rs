//! Which keys of `publish` belong together.

use crate::pipeline::reader::Reader;
use crate::yaml::Fields;

/// Rejects a heartbeat that nobody can sign.
pub(super) fn rules(f: &mut Fields<'_>, r: &mut Reader) {
    let heartbeat = f.node("heartbeat");
    let wanted = heartbeat.filter(|node| node.scalar() == Some("true"));
    if let (Some(node), None) = (wanted, f.node("signatures")) {
        let message = "`heartbeat` needs `signatures`: the same signer signs it";
        r.at(node.span, message, "Add `signatures:` with a `sign` task.");
    }
}
