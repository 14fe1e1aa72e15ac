//! Flags that say who signs, and how.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::command_error::CommandError;
use super::keys::{PasswordFrom, confirmed, key_sources};
use super::options::variables;
use super::output::note;
use crate::signers::{KeylessOptions, Seal, Signer, key_signer, keyless_signer};

/// Where a signature goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum SignatureForm {
    /// In the package, as all readers of its dialect know it
    #[default]
    Plain,
    /// In the package, as a Sigstore bundle beside the plain one: archives
    /// that Jackal v0.32.7 refuses
    Bundle,
    /// Only beside the package, which stays as it is
    Detached,
}

/// What every command understands that signs.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Signing")]
pub(super) struct SignArgs {
    /// Private key to sign with: a file made by `jackal tools gen-key` or
    /// cosign, env://NAME, hashivault://KEY, or what a program
    /// sigstore-kms-NAME keeps, such as awskms://…
    #[arg(long, value_name = "KEY", conflicts_with = "keyless")]
    signing_key: Option<String>,
    /// Its password; others on this machine can read it: better a file, or
    /// COSIGN_PASSWORD
    #[arg(long, value_name = "PASSWORD")]
    signing_key_pass: Option<String>,
    /// File with its password
    #[arg(long, value_name = "FILE", conflicts_with = "signing_key_pass")]
    signing_key_pass_file: Option<PathBuf>,
    /// Sign with a certificate for an identity token, which is logged in public
    #[arg(long)]
    keyless: bool,
    /// The identity token or a file with it (default: SIGSTORE_ID_TOKEN, what
    /// GitHub Actions mints, /var/run/sigstore/cosign/oidc-token)
    #[arg(long, value_name = "TOKEN", requires = "keyless")]
    identity_token: Option<String>,
    /// A private Sigstore: its services and whom to trust, in one file
    #[arg(long, value_name = "FILE", env = "JACKAL_TRUST_CONFIG")]
    trust_config: Option<PathBuf>,
    /// Certificate authority (default: that of the trust config or of the
    /// public instance)
    #[arg(long, value_name = "URL", requires = "keyless")]
    fulcio_url: Option<String>,
    /// Transparency log
    #[arg(long, value_name = "URL", requires = "keyless")]
    rekor_url: Option<String>,
    /// Version of its interface
    #[arg(long, value_name = "N", requires = "rekor_url", default_value_t = 1)]
    rekor_version: u32,
    /// Whether the signature is logged; false needs a timestamp authority
    #[arg(long, value_name = "BOOL", requires = "keyless", num_args = 0..=1, default_missing_value = "true")]
    tlog_upload: Option<bool>,
    /// Timestamp authority
    #[arg(long, value_name = "URL", requires = "keyless")]
    tsa_server_url: Option<String>,
    /// Where the signature goes; beside what is published there is a bundle in
    /// any case
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    signature: SignatureForm,
}

impl SignArgs {
    /// What is written into the package, if somebody signs.
    pub(super) fn seal(&self, published: bool) -> Option<Seal> {
        match self.signature {
            SignatureForm::Detached => None,
            // A certificate's bundle lies beside what is published.
            SignatureForm::Plain if published && self.keyless => None,
            SignatureForm::Plain => Some(Seal::Plain),
            SignatureForm::Bundle => Some(Seal::Bundle),
        }
    }

    /// Whether somebody is to sign.
    pub(super) fn signs(&self) -> bool {
        self.keyless || self.signing_key.is_some()
    }

    /// Who signs; `None`: nobody. `confirm`: that it is logged for good, need
    /// not be asked.
    pub(super) fn into_signer(self, confirm: bool) -> Result<Option<Arc<Signer>>, CommandError> {
        if let Some(reference) = self.signing_key.as_ref().filter(|_| !self.keyless) {
            let from = PasswordFrom {
                flag: self.signing_key_pass,
                file: self.signing_key_pass_file,
            };
            // Files are first looked for, then opened.
            let failed = std::cell::RefCell::new(None);
            let password = || match from.password() {
                Ok(password) => password,
                Err(error) => {
                    failed.replace(Some(error));
                    Default::default()
                }
            };
            let signer = key_signer(reference, &key_sources(), &password);
            if let Some(error) = failed.into_inner() {
                return Err(error);
            }
            return signer.map(Some).map_err(CommandError::usage);
        }
        if !self.keyless {
            return Ok(None);
        }
        let options = KeylessOptions {
            token: self.identity_token,
            environment: variables(),
            trust_config: self.trust_config,
            fulcio: self.fulcio_url,
            rekor: self.rekor_url.map(|url| (url, self.rekor_version)),
            log: self.tlog_upload.unwrap_or(true),
            timestamps: self.tsa_server_url,
        };
        let logged = options.log;
        let signer = keyless_signer(options).map_err(CommandError::usage)?;
        if logged && !confirm {
            note(
                "Your identity and the digests of what is signed will be in a log for ever, for all to read.",
            );
            if !confirmed("Sign?")? {
                let message = "nothing was signed: give --confirm to sign without being asked";
                return Err(CommandError::usage(message));
            }
        }
        Ok(Some(signer))
    }
}
