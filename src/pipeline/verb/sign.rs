//! `sign`: signatures and attestations of packages.

use std::collections::BTreeMap;

use crate::pipeline::reader::Reader;
use crate::pipeline::kinds::{Flag, SomeTasks, Text};
use crate::pipeline::record::record;
use crate::yaml::Fields;

record! {
    /// Signs packages. Their archives are written with the signature.
    pub struct Sign as "`sign`" rules rules {
        /// Tasks that make the packages.
        subjects: SomeTasks = "subjects",
        /// The private key: a file relative to the pipeline file, `env://NAME`,
        /// `hashivault://KEY`, or a reference for the plugin `sigstore-kms-NAME`. Its
        /// password is read from `passwordFile`, else from COSIGN_PASSWORD.
        key: Option<Text> = "key",
        /// The file that holds the key's password.
        password_file: Option<Text> = "passwordFile",
        /// Sign with a short-lived certificate for an identity token. The signature is
        /// recorded in a public transparency log.
        keyless: Flag<false> = "keyless",
        /// The identity that the certificate must name. Otherwise the task fails, and
        /// no tag moves.
        identity: Option<Text> = "identity",
        /// The OIDC issuer that the certificate must name.
        issuer: Option<Text> = "issuer",
        /// A file that describes a private Sigstore deployment.
        trust_config: Option<Text> = "trustConfig",
        /// Annotations that the signature covers.
        annotations: BTreeMap<String, Text> = "annotations",
        /// The URI that identifies the builder in provenance.
        builder: Option<Text> = "builder",
        /// Attest how the packages were built (SLSA provenance v1).
        provenance: Flag<true> = "provenance",
        /// Attest what the packages contain (SPDX).
        sbom: Flag<true> = "sbom",
        /// Also write the signature of a key into the packages, where Jackal v0.32.7
        /// looks for it.
        in_package: Flag<true> = "inPackage",
    }
}

fn rules(f: &mut Fields<'_>, r: &mut Reader) {
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
