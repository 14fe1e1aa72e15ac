//! `jackal package verify`.

use clap::Args;
use serde_json::{Value, json};

use super::command_error::CommandError;
use super::environment::speaks_zarf;
use super::exit::Exit;
use super::opened::{SourceArgs, note_warnings, open};
use super::output::print;
use crate::app::{self, By, Check, Signature, rfc3339};

/// Arguments of `jackal package verify`.
#[derive(Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: VerifyArgs) -> Result<(), CommandError> {
    let SourceArgs { source, json, read } = args.source;
    let opened = open(&source, read, Check::Use)?;
    let package = app::package_verify(&opened)?;
    note_warnings(&package);
    if speaks_zarf() && matches!(package.signature(), Signature::Absent) {
        let message = format!("{source}: every file is sound, but the package is not signed");
        return Err(CommandError::new(Exit::Verification, message)
            .hint("sign it with `jackal package sign`; `jackal package verify` accepts it outside of Zarf's dialect"));
    }
    let bytes: u64 = package.files().values().map(|(_, size)| size).sum();
    let files = package.files().len();
    let checks: &[&str] = match package.has_checksums() {
        true => &["aggregateChecksum", "checksums", "missing", "extra"],
        false => &[],
    };
    if json {
        let report = json!({
            "source": source,
            "dialect": package.dialect().word(),
            "files": files,
            "bytes": bytes,
            "checks": checks,
            "signature": signature(package.signature()),
        });
        return print(&format!("{report:#}\n"));
    }
    if !package.has_checksums() {
        return print(&format!(
            "{source}: read {files} files ({bytes} bytes), which have no checksums; {}\n",
            package.signature().summary(),
        ));
    }
    print(&format!(
        "{source}: verified {files} files ({bytes} bytes); {}\n",
        package.signature().summary(),
    ))
}

/// A signature as JSON: who signed, when, and what was verified.
pub(super) fn signature(found: &Signature) -> Value {
    let summary = found.summary();
    let Signature::Checked(signed) = found else {
        return json!({"verified": false, "summary": summary});
    };
    let by = match &signed.by {
        By::Key {
            name,
            fingerprint,
            algorithm,
        } => json!({"key": name, "fingerprint": fingerprint.to_string(), "algorithm": algorithm}),
        By::Identity {
            identity,
            issuer,
            claims,
        } => {
            let claims: serde_json::Map<String, Value> = claims
                .iter()
                .map(|(name, text)| ((*name).to_owned(), json!(text)))
                .collect();
            json!({"identity": identity, "issuer": issuer, "claims": claims})
        }
    };
    let times = signed.times.iter().map(|time| rfc3339(*time));
    let attestations = signed.attestations.iter();
    let attestations: Value = attestations
        .map(|found| json!({"predicateType": found.predicate_type, "builder": found.builder}))
        .collect();
    let root = signed.root.as_ref();
    json!({
        "verified": true,
        "summary": summary,
        "by": by,
        "foundIn": signed.found_in,
        "signedAt": times.collect::<Value>(),
        "checks": signed.checks,
        "trustedRoot": root.map(|(name, digest)| json!({"name": name, "digest": digest.to_string()})),
        "attestations": attestations,
    })
}
