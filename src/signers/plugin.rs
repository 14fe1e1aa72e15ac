//! Key management services through plugins: programs `sigstore-kms-NAME` that
//! return a public key and signatures.
//!
//! Source: docs/spec/signing.md, "Key references"; protocol version v1 of
//! cosign's plugins: the first argument is the version, the second is JSON,
//! stdin has the message, stdout the answer in JSON, which may contain an error;
//! the exit code is ignored.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::disk::look;
use crate::signing::{PublicKey, PublicKeyError};
use crate::text::with_causes;

const VERSION: &str = "v1";

/// The protocol's number for SHA-256.
const SHA256: u32 = 5;

/// Timeout of a plugin.
const PATIENCE: Duration = Duration::from_secs(180);

/// Interval for polling whether the plugin has exited.
const LOOK: Duration = Duration::from_millis(20);

/// How long to wait for output after the plugin has exited.
const GRACE: Duration = Duration::from_secs(1);

/// Maximum size of an answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// Maximum length of a plugin's message, in characters.
const MAX_MESSAGE: usize = 300;

/// Why a plugin returned no key or signature.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    #[error("keys at {0}:// require the program sigstore-kms-{0} on PATH: install it")]
    Missing(String),
    #[error("`{program}`")]
    Io { program: PathBuf, source: io::Error },
    #[error("`{program}`: {message}")]
    Refused { program: PathBuf, message: String },
    #[error("`{program}` violates the plugin protocol: {what}")]
    Answer { program: PathBuf, what: String },
    /// Its public key is not supported.
    #[error(transparent)]
    Key(#[from] PublicKeyError),
}

/// A key in a key management service, used through a plugin.
#[derive(Clone, Debug)]
pub struct Plugin {
    program: PathBuf,
    resource: String,
    public: PublicKey,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    error_message: String,
    public_key: Option<PublicKeyAnswer>,
    sign_message: Option<SignMessageAnswer>,
}

#[derive(Deserialize)]
struct PublicKeyAnswer {
    #[serde(rename = "publicKeyPEM")]
    pem: String,
}

#[derive(Deserialize)]
struct SignMessageAnswer {
    signature: String,
}

impl Plugin {
    /// Gets the public key of `resource` from `program`.
    ///
    /// # Errors
    ///
    /// [`PluginError`]
    pub fn open(program: PathBuf, resource: &str) -> Result<Self, PluginError> {
        let options = json!({"publicKeyOptions": {"rpcOptions": {
            "keyVersion": "", "remoteVerification": false,
        }}});
        let answer = ask(&program, resource, "publicKey", &options, &[])?;
        let wrong = |what: &str| PluginError::Answer {
            program: program.clone(),
            what: what.to_owned(),
        };
        let found = answer.public_key.ok_or_else(|| wrong("no public key"))?;
        let pem = STANDARD
            .decode(found.pem)
            .map_err(|_| wrong("not base64"))?;
        let public = PublicKey::parse(&pem)?;
        Ok(Self {
            resource: resource.to_owned(),
            public,
            program,
        })
    }

    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`; blocks while the plugin runs.
    ///
    /// # Errors
    ///
    /// [`PluginError`]
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PluginError> {
        let options = json!({"signOptions": {
            "rpcOptions": {"keyVersion": "", "remoteVerification": false},
            "messageOptions": {"digest": null, "hashFunc": SHA256},
        }});
        let answer = ask(
            &self.program,
            &self.resource,
            "signMessage",
            &options,
            message,
        )?;
        let wrong = |what: &str| PluginError::Answer {
            program: self.program.clone(),
            what: what.to_owned(),
        };
        let found = answer.sign_message.ok_or_else(|| wrong("no signature"))?;
        let signature = STANDARD.decode(found.signature);
        let signature = signature.map_err(|_| wrong("not base64"))?;
        // Verify the signature now rather than when it is published.
        self.public
            .verify(message, &signature)
            .map_err(|_| wrong("the signature does not match its own public key"))?;
        Ok(signature)
    }
}

fn ask(
    program: &PathBuf,
    resource: &str,
    method: &str,
    options: &Value,
    message: &[u8],
) -> Result<Answer, PluginError> {
    look::beyond_files();
    let io = |source| PluginError::Io {
        program: program.clone(),
        source,
    };
    let arguments = json!({
        "initOptions": {
            "protocolVersion": VERSION,
            "keyResourceID": resource,
            "hashFunc": SHA256,
            "rpcOptions": {"keyVersion": "", "remoteVerification": false},
        },
        "methodName": method,
        method: options,
    });
    let mut child = Command::new(program)
        .args([VERSION, &arguments.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(io)?;
    let begun = std::time::Instant::now();
    // Separate threads, abandoned at the deadline: a plugin that never reads its
    // input, or a child of it that never closes its output, must not block us.
    if let Some(mut stdin) = child.stdin.take() {
        let message = message.to_vec();
        std::thread::spawn(move || {
            // A plugin that does not read the message may have exited already.
            let _ = stdin.write_all(&message);
        });
    }
    // A short queue, so that endless output does not fill the memory.
    let (sender, pieces) = mpsc::sync_channel(1);
    if let Some(mut stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut piece = vec![0; 64 << 10];
            loop {
                let read = stdout.read(&mut piece);
                let ends = !matches!(read, Ok(count) if count > 0);
                // The receiver is gone after the deadline.
                if sender
                    .send(read.map(|count| piece[..count].to_vec()))
                    .is_err()
                    || ends
                {
                    break;
                }
            }
        });
    }
    let mut answer = Vec::new();
    let mut ended = None;
    loop {
        match pieces.recv_timeout(LOOK) {
            Ok(Ok(piece)) if piece.is_empty() => break,
            Ok(Ok(piece)) if answer.len() as u64 <= MAX_ANSWER_BYTES => answer.extend(piece),
            Ok(piece) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(match piece {
                    Err(error) => io(error),
                    Ok(_) => PluginError::Answer {
                        program: program.clone(),
                        what: "an answer that is too large".to_owned(),
                    },
                });
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() && child.try_wait().map_err(io)?.is_some() {
            ended = Some(std::time::Instant::now());
        }
        // A child of the plugin may keep the output open.
        if ended.is_some_and(|at| at.elapsed() > GRACE) {
            break;
        }
        if begun.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io(io::ErrorKind::TimedOut.into()));
        }
    }
    while child.try_wait().map_err(io)?.is_none() && begun.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
    }
    // It has exited, or it is too late.
    let _ = child.kill();
    let _ = child.wait();
    let answer: Answer = serde_json::from_slice(&answer).map_err(|error| PluginError::Answer {
        program: program.clone(),
        what: with_causes(&error),
    })?;
    match answer.error_message.is_empty() {
        true => Ok(answer),
        false => Err(PluginError::Refused {
            program: program.clone(),
            message: answer.error_message.chars().take(MAX_MESSAGE).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{Algorithm, SigningKey};

    fn plugin(folder: &std::path::Path, script: &str) -> PathBuf {
        let (text, program) = (folder.join("text"), folder.join("sigstore-kms-test"));
        std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        // Written by another process: a program that is open for writing in this
        // one, or in one that another test starts, does not run.
        let mut made = Command::new("install");
        made.arg("-m755").args([&text, &program]);
        assert!(made.status().unwrap().success());
        program
    }

    #[test]
    fn a_plugin_that_fails_or_answers_nonsense_signs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let refuses = r#"echo '{"errorMessage":"no such key"}'; exit 0"#;
        let error = Plugin::open(plugin(folder.path(), refuses), "test://k").unwrap_err();
        assert!(error.to_string().ends_with("no such key"), "{error}");
        for (script, what) in [
            ("echo hello", "expected value"),
            ("echo '{}'", "no public key"),
            (r#"echo '{"publicKey":{"publicKeyPEM":"-"}}'"#, "not base64"),
            ("exit 3", "EOF"),
            ("exec cat /dev/zero", "too large"),
        ] {
            let error = Plugin::open(plugin(folder.path(), script), "test://k").unwrap_err();
            assert!(error.to_string().contains(what), "{script}: {error}");
        }
    }

    #[test]
    fn a_plugin_need_not_read_a_long_message_and_a_wrong_signature_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let made = SigningKey::generate(Algorithm::P256).unwrap();
        let key = SigningKey::from_pkcs8(&made).unwrap();
        let pem = STANDARD.encode(key.public().to_pem());
        let message = vec![7; 1 << 20];
        let answers = |signature: &[u8]| {
            format!(
                "case $2 in *'\"methodName\":\"publicKey\"'*) echo '{{\"publicKey\":{{\"publicKeyPEM\":\"{pem}\"}}}}' ;; *) echo '{{\"signMessage\":{{\"signature\":\"{}\"}}}}' ;; esac",
                STANDARD.encode(signature)
            )
        };
        let right = key.sign(&message).unwrap();
        let opened = Plugin::open(plugin(folder.path(), &answers(&right)), "test://k").unwrap();
        assert_eq!(opened.public().spki(), key.public().spki());
        assert_eq!(opened.sign(&message).unwrap(), right);
        // It leaves a child that keeps its output open.
        let leaves = format!("sleep 30 & {}", answers(&right));
        let opened = Plugin::open(plugin(folder.path(), &leaves), "test://k").unwrap();
        assert_eq!(opened.sign(&message).unwrap(), right);
        let other = key.sign(b"other").unwrap();
        let opened = Plugin::open(plugin(folder.path(), &answers(&other)), "test://k").unwrap();
        assert!(matches!(
            opened.sign(&message),
            Err(PluginError::Answer { .. })
        ));
    }
}
