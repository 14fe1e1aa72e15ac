//! The secrets of a command: variables, and files that it sees.

use std::io::Read as _;
use std::path::PathBuf;

use super::RunWork;
use super::command::Private;
use crate::ground::sandbox::Level;
use crate::ground::{Class, Failure};
use crate::pipeline::{Secret, SecretSource};

/// Maximum size of a secret, in bytes: 64 KiB, because some systems limit variables to
/// that.
const MAX_BYTES: u64 = 64 << 10;

/// Shortest word of a file that is masked by itself, in bytes: shorter ones are part of
/// ordinary text too often.
const MIN_WORD: usize = 8;

/// A secret, which is never shown.
#[derive(Clone)]
pub struct SecretValue {
    from: From,
    /// Where the command sees it as a file; `None`: it is a variable.
    path: Option<String>,
}

#[derive(Clone)]
enum From {
    Text(String),
    File(PathBuf),
    /// A variable that is not set.
    Missing(String),
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl SecretValue {
    /// The secret of a task in `folder`, for a user with the variables that `variable`
    /// finds.
    pub(super) fn of(
        secret: &Secret,
        folder: &std::path::Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let from = match &secret.from {
            SecretSource::File(path) => {
                let home = path.strip_prefix("~/").zip(variable("HOME"));
                From::File(match home {
                    Some((below, home)) => PathBuf::from(home).join(below),
                    None => folder.join(path),
                })
            }
            // CI sets a missing secret to an empty string.
            SecretSource::Env(name) => match variable(name) {
                Some(text) if !text.is_empty() => From::Text(text),
                _ => From::Missing(name.clone()),
            },
        };
        Self {
            from,
            path: secret.path.clone(),
        }
    }

    /// What is in keys for the secret called `name`: never its value.
    pub(super) fn in_key(&self, name: &str) -> String {
        match &self.path {
            Some(path) => format!("{name} at {path}"),
            None => name.to_owned(),
        }
    }

    fn read(&self, name: &str) -> Result<String, Failure> {
        let refuse = |why: String| refuse(name, &why);
        match &self.from {
            From::Text(text) => Ok(text.clone()),
            From::Missing(variable) => Err(refuse(format!(
                "comes from `{variable}`, which is not set: export it"
            ))),
            From::File(path) => {
                let shown = path.display();
                let unreadable = |error| refuse(format!("cannot be read from `{shown}`: {error}"));
                let file = std::fs::File::open(path).map_err(unreadable)?;
                let mut text = String::new();
                let mut file = file.take(MAX_BYTES + 1);
                file.read_to_string(&mut text).map_err(unreadable)?;
                if text.len() as u64 > MAX_BYTES {
                    return Err(refuse(format!("in `{shown}` is longer than 64 KiB")));
                }
                Ok(text)
            }
        }
    }
}

fn refuse(name: &str, why: &str) -> Failure {
    Failure::new(Class::Configuration, format!("the secret `{name}` {why}"))
}

/// The secrets of a command, read.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) variables: Vec<(String, String)>,
    pub(super) files: Vec<Private>,
    /// What logs must not show.
    pub(super) hidden: Vec<String>,
}

impl Secrets {
    pub(super) fn of(work: &RunWork, level: Level) -> Result<Self, Failure> {
        let mut secrets = Self::default();
        for (name, value) in &work.secrets {
            let text = value.read(name)?;
            let Some(path) = &value.path else {
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                secrets.hidden.push(text.clone());
                secrets.variables.push((name.clone(), text));
                continue;
            };
            if path.starts_with('/') && level != Level::Namespaces {
                let why = format!(
                    "is a file at `{path}`, which needs user namespaces: write a path that begins with `~/`"
                );
                return Err(refuse(name, &why));
            }
            secrets.hidden.push(text.trim().to_owned());
            secrets.hidden.extend(words(&text));
            secrets.files.push(Private {
                path: path.clone(),
                text,
            });
        }
        Ok(secrets)
    }
}

/// The parts of a file that may be shown by themselves: a token in `.npmrc` or
/// `.netrc`. Names of hosts and settings are left as they are.
fn words(text: &str) -> Vec<String> {
    let ends = |c: char| c.is_whitespace() || "='\",;".contains(c);
    let is_name = |word: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || "._-/:".contains(c);
        word.contains("://") || word.starts_with("//") || word.chars().all(plain)
    };
    let words = text.split(ends);
    let words = words.filter(|word| word.len() >= MIN_WORD && !is_name(word));
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_a_file_are_hidden_and_hosts_are_not() {
        let file = "registry=https://registry.example.com/npm/\n\
                    //registry.example.com/npm/:_authToken=npm_A1b2c3d4e5\n";
        assert_eq!(words(file), ["npm_A1b2c3d4e5"]);
        let netrc = "machine host.example.com login someone password Pass-w0rd!\n";
        assert_eq!(words(netrc), ["Pass-w0rd!"]);
    }
}
