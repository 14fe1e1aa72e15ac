//! Flags that say whose packages are trusted.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::command_error::CommandError;
use super::keys::key_sources;
use super::output::note;
use crate::app::{self, TrustOptions};
use crate::verify::{Check, Policy};

/// What every command understands that judges a package.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Trust")]
pub(super) struct TrustArgs {
    /// Public key of whoever must have signed: a file, env://NAME, https://…,
    /// or what a KMS has (see `jackal tools gen-key --help`); may be repeated
    #[arg(long, short, value_name = "KEY")]
    key: Vec<String>,
    /// Whom the certificate of the signature must name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "policy"])]
    certificate_identity: Option<String>,
    /// The same by an expression, which need not fit the whole name
    #[arg(long, value_name = "REGEXP", conflicts_with_all = ["key", "policy"])]
    certificate_identity_regexp: Option<String>,
    /// Who must have vouched for that name
    #[arg(long, value_name = "URL", conflicts_with_all = ["key", "policy"])]
    certificate_oidc_issuer: Option<String>,
    /// The same by an expression
    #[arg(long, value_name = "REGEXP", conflicts_with_all = ["key", "policy"])]
    certificate_oidc_issuer_regexp: Option<String>,
    /// Policy file: who may sign which package, what must be attested
    #[arg(
        long,
        value_name = "FILE",
        env = "JACKAL_POLICY",
        conflicts_with = "key"
    )]
    policy: Option<PathBuf>,
    /// Authorities and logs that are trusted, instead of those of the public
    /// Sigstore instance
    #[arg(long, value_name = "FILE", env = "JACKAL_TRUSTED_ROOT")]
    trusted_root: Option<PathBuf>,
    /// Accept certificates without a log entry: a timestamp must say when
    #[arg(long)]
    insecure_ignore_tlog: bool,
    /// Accept certificates that no certificate log promised to show
    #[arg(long)]
    insecure_ignore_sct: bool,
    /// Require a timestamp of RFC 3161
    #[arg(long)]
    use_signed_timestamps: bool,
    /// Check no signature; checksums are checked all the same
    #[arg(long, conflicts_with_all = ["key", "certificate_identity", "certificate_identity_regexp"])]
    skip_signature_validation: bool,
}

impl TrustArgs {
    /// The policy for a package that is used, or only looked at.
    pub(super) fn into_policy(self, check: Check) -> Result<Arc<Policy>, CommandError> {
        if self.skip_signature_validation {
            note("warning: signatures are NOT checked, as --skip-signature-validation says");
            return Ok(Arc::new(Policy::without_signers(Check::Skip)));
        }
        for (given, what) in [
            (self.insecure_ignore_tlog, "log entries are not required"),
            (
                self.insecure_ignore_sct,
                "promises of certificate logs are not required",
            ),
        ] {
            if given {
                note(&format!("warning: {what}, as a flag says"));
            }
        }
        let identity = self.certificate_identity.is_some()
            || self.certificate_identity_regexp.is_some()
            || self.policy.is_some();
        let options = TrustOptions {
            check,
            // A key of the configuration file stands back.
            keys: match identity {
                true => Vec::new(),
                false => self.key,
            },
            identity: self.certificate_identity,
            identity_regexp: self.certificate_identity_regexp,
            issuer: self.certificate_oidc_issuer,
            issuer_regexp: self.certificate_oidc_issuer_regexp,
            policy: self.policy,
            root: self.trusted_root,
            demands: crate::signing::Demands {
                log: !self.insecure_ignore_tlog,
                sct: !self.insecure_ignore_sct,
                timestamp: self.use_signed_timestamps,
            },
        };
        let policy = app::policy(&options, &key_sources());
        policy.map(Arc::new).map_err(CommandError::usage)
    }
}
