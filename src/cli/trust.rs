//! Flags that say whose packages are trusted.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::command_error::CommandError;
use super::environment::key_sources;
use super::output::note;
use crate::app::{self, Check, Demands, Policy, TrustOptions};

/// Whose packages to trust.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Trust options")]
pub(super) struct TrustArgs {
    /// Require a signature by this public key (repeatable: by any of them)
    ///
    /// A file, env://NAME, https://URL, or a key of a KMS such as
    /// hashivault://KEY or awskms://KEY.
    #[arg(long, short, value_name = "KEY")]
    key: Vec<String>,
    /// Require a certificate for this identity
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "policy"])]
    certificate_identity: Option<String>,
    /// Require a certificate whose whole identity matches this expression
    ///
    /// An expression with ^ but without $ matches a prefix.
    #[arg(long, value_name = "REGEX", conflicts_with_all = ["key", "policy"])]
    certificate_identity_regexp: Option<String>,
    /// Require this OIDC issuer in the certificate
    #[arg(long, value_name = "URL", conflicts_with_all = ["key", "policy"])]
    certificate_oidc_issuer: Option<String>,
    /// Require a certificate whose whole OIDC issuer matches this expression
    ///
    /// An expression with ^ but without $ matches a prefix.
    #[arg(long, value_name = "REGEX", conflicts_with_all = ["key", "policy"])]
    certificate_oidc_issuer_regexp: Option<String>,
    /// Policy file: who may sign which packages, and required attestations
    #[arg(
        long,
        value_name = "FILE",
        env = "JACKAL_POLICY",
        hide_env_values = true,
        conflicts_with = "key"
    )]
    policy: Option<PathBuf>,
    /// Trusted authorities and logs [default: public Sigstore instance]
    #[arg(
        long,
        value_name = "FILE",
        env = "JACKAL_TRUSTED_ROOT",
        hide_env_values = true
    )]
    trusted_root: Option<PathBuf>,
    /// Accept certificates without a log entry if they have a timestamp
    #[arg(long)]
    insecure_ignore_tlog: bool,
    /// Accept certificates without a signed certificate timestamp (SCT)
    #[arg(long)]
    insecure_ignore_sct: bool,
    /// Require an RFC 3161 timestamp
    #[arg(long)]
    use_signed_timestamps: bool,
    /// Do not verify signatures; checksums are still verified
    #[arg(long, conflicts_with_all = ["key", "certificate_identity", "certificate_identity_regexp"])]
    skip_signature_validation: bool,
    /// Zarf's flag: `never` is --skip-signature-validation, `always` requires to name a
    /// signer; the default here is as strict as it can be without one.
    #[arg(
        long = "verify",
        value_name = "WHEN",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "always",
        hide = true
    )]
    verify_when: Option<When>,
}

/// When Zarf verifies signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    Always,
    IfPossible,
    Never,
}

impl TrustArgs {
    /// The policy for a package that is read for `check`.
    pub(super) fn into_policy(self, check: Check) -> Result<Arc<Policy>, CommandError> {
        let names_signer = !self.key.is_empty()
            || self.certificate_identity.is_some()
            || self.certificate_identity_regexp.is_some()
            || self.policy.is_some();
        match self.verify_when {
            Some(When::Always) if !names_signer => {
                return Err(CommandError::usage("--verify requires a signer to trust")
                    .hint("add --key, --certificate-identity or --policy"));
            }
            Some(When::Never) if names_signer => {
                return Err(
                    CommandError::usage("--verify=never cannot be used with a signer")
                        .hint("leave it out, or the signer"),
                );
            }
            _ => {}
        }
        let never = self.verify_when == Some(When::Never);
        if self.skip_signature_validation || never {
            let flag = match never {
                true => "--verify=never",
                false => "--skip-signature-validation",
            };
            note(&format!("warning: {flag}: signatures are NOT verified"));
            return Ok(Arc::new(Policy::without_signers(Check::Skip)));
        }
        if self.insecure_ignore_tlog {
            note("warning: --insecure-ignore-tlog: log entries are not required");
        }
        if self.insecure_ignore_sct {
            note("warning: --insecure-ignore-sct: certificates need not be in a public log");
        }
        let identity = self.certificate_identity.is_some()
            || self.certificate_identity_regexp.is_some()
            || self.policy.is_some();
        let options = TrustOptions {
            check,
            // On the command line, clap refuses both; this key is a default of the
            // configuration file, which the flag overrides.
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
            demands: Demands {
                log: !self.insecure_ignore_tlog,
                sct: !self.insecure_ignore_sct,
                timestamp: self.use_signed_timestamps,
            },
        };
        let policy = app::policy(&options, &key_sources());
        policy.map(Arc::new).map_err(CommandError::usage)
    }
}
