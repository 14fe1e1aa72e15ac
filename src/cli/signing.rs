//! Flags that say who signs, and how.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::command_error::CommandError;
use super::environment::{key_sources, variables};
use super::keys::{PasswordFrom, confirmed};
use super::output::note;
use crate::app::{KeylessOptions, Seal, Signer, key_signer, keyless_signer};

/// Where a signature goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum SignatureForm {
    /// In the package, in the form that all versions of Jackal and Zarf can read
    #[default]
    Plain,
    /// In the package, with a Sigstore bundle (rejected by Jackal v0.32.7)
    Bundle,
    /// Beside the package, which is not changed
    Detached,
}

/// Who signs, and how.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Signing options")]
pub(super) struct SignArgs {
    /// Sign with this private key
    ///
    /// A file made by `jackal tools gen-key` or cosign, env://NAME,
    /// hashivault://KEY, or a key of a plugin sigstore-kms-NAME, such as
    /// awskms://KEY.
    #[arg(long, value_name = "KEY", conflicts_with = "keyless")]
    signing_key: Option<String>,
    /// Password of the private key; visible to other users of this machine
    ///
    /// Prefer --signing-key-pass-file or the variable COSIGN_PASSWORD.
    #[arg(long, value_name = "PASSWORD")]
    signing_key_pass: Option<String>,
    /// File with the password of the private key
    #[arg(long, value_name = "FILE", conflicts_with = "signing_key_pass")]
    signing_key_pass_file: Option<PathBuf>,
    /// Sign with a certificate for an identity token; logged publicly
    #[arg(long)]
    keyless: bool,
    /// Identity token, or a file that holds it
    ///
    /// Default: SIGSTORE_ID_TOKEN, a token minted by GitHub Actions, or
    /// /var/run/sigstore/cosign/oidc-token.
    #[arg(long, value_name = "TOKEN", requires = "keyless")]
    identity_token: Option<String>,
    /// Services and trusted root of a private Sigstore instance
    #[arg(
        long,
        value_name = "FILE",
        env = "JACKAL_TRUST_CONFIG",
        hide_env_values = true
    )]
    trust_config: Option<PathBuf>,
    /// Certificate authority [default: from --trust-config, else public Sigstore]
    #[arg(long, value_name = "URL", requires = "keyless")]
    fulcio_url: Option<String>,
    /// Transparency log [default: from --trust-config, else public Sigstore]
    #[arg(long, value_name = "URL", requires = "keyless")]
    rekor_url: Option<String>,
    /// API version of the transparency log
    #[arg(long, value_name = "N", requires = "rekor_url", default_value_t = 1)]
    rekor_version: u32,
    /// Log the signature; `false` requires a timestamp authority [default: true]
    #[arg(long, value_name = "BOOL", requires = "keyless", num_args = 0..=1, default_missing_value = "true")]
    tlog_upload: Option<bool>,
    /// Timestamp authority
    #[arg(long, value_name = "URL", requires = "keyless")]
    tsa_server_url: Option<String>,
    /// Where the signature goes; published packages always get a bundle
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    signature: SignatureForm,
}

impl SignArgs {
    /// The signature to write into the package.
    pub(super) fn seal(&self, published: bool) -> Option<Seal> {
        match self.signature {
            SignatureForm::Detached => None,
            // The bundle of a keyless signature is attached to the published package.
            SignatureForm::Plain if published && self.keyless => None,
            SignatureForm::Plain => Some(Seal::Plain),
            SignatureForm::Bundle => Some(Seal::Bundle),
        }
    }

    /// Takes the key and password that were given by their older names.
    pub(super) fn or_older(&mut self, key: Option<String>, password: Option<String>) {
        self.signing_key = self.signing_key.take().or(key);
        self.signing_key_pass = self.signing_key_pass.take().or(password);
    }

    /// Whether a signer is named.
    pub(super) fn signs(&self) -> bool {
        self.keyless || self.signing_key.is_some()
    }

    /// The signer, if one is named. `confirm`: the user agrees to the public log.
    pub(super) fn into_signer(self, confirm: bool) -> Result<Option<Arc<Signer>>, CommandError> {
        if let Some(reference) = self.signing_key.as_ref().filter(|_| !self.keyless) {
            let from = PasswordFrom {
                flag: self.signing_key_pass,
                file: self.signing_key_pass_file,
            };
            // Prompt for the password only after the key file was found.
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
                "Your identity and the digests of the signed files will be in a public log permanently.",
            );
            if !confirmed("Sign?")? {
                return Err(CommandError::usage("nothing was signed")
                    .hint("pass --confirm to sign without a prompt"));
            }
        }
        Ok(Some(signer))
    }
}
