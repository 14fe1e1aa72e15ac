//! Where keys and passwords come from: flags, files, environment, terminal.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::build::Refused;
use super::exit::Exit;
use super::options::{environment, program_folders, variables};
use crate::transparency::{KeySources, password_in};

/// Whence keys may be had: variables, services, plugins on `PATH`.
pub(super) fn key_sources() -> KeySources {
    KeySources {
        environment: variables(),
        folders: program_folders(),
    }
}

/// Where the password of a key is looked for.
#[derive(Clone, Debug, Default)]
pub(super) struct PasswordFrom {
    /// The flag's value.
    pub flag: Option<String>,
    /// A file.
    pub file: Option<PathBuf>,
}

impl PasswordFrom {
    /// Flag, file, `COSIGN_PASSWORD`, terminal, else empty.
    ///
    /// Source: signing.md 1.5.
    pub(super) fn password(&self) -> Result<Zeroizing<Vec<u8>>, Refused> {
        if let Some(flag) = &self.flag {
            return Ok(Zeroizing::new(flag.clone().into_bytes()));
        }
        if let Some(path) = &self.file {
            let read = password_in(path);
            return read.map_err(|error| (Exit::Usage, error.to_string()));
        }
        // Also one that is empty.
        if let Some(text) = std::env::var_os("COSIGN_PASSWORD") {
            return Ok(Zeroizing::new(text.into_encoded_bytes()));
        }
        match asks() {
            true => ask("Password of the private key: "),
            false => Ok(Zeroizing::default()),
        }
    }

    /// The password for a new key: as above, and asked for twice.
    pub(super) fn new_password(&self) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let given = self.flag.is_some() || self.file.is_some();
        if given || std::env::var_os("COSIGN_PASSWORD").is_some() || !asks() {
            return self.password();
        }
        let first = ask("Password for the private key: ")?;
        let second = ask("The same again: ")?;
        match first == second {
            true => Ok(first),
            false => Err((
                Exit::Usage,
                "the two passwords differ: nothing was written".to_owned(),
            )),
        }
    }
}

fn asks() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && environment("CI").is_none()
}

/// Asks on the terminal, which shows nothing of the answer.
fn ask(question: &str) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let wrong = |error: &dyn std::fmt::Display| (Exit::Environment, format!("terminal: {error}"));
    eprint_question(question);
    let stdin = std::io::stdin();
    let shown = rustix::termios::tcgetattr(&stdin).map_err(|error| wrong(&error))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(rustix::termios::LocalModes::ECHO);
    let set =
        |modes| rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Flush, modes);
    set(&hidden).map_err(|error| wrong(&error))?;
    let mut line = Zeroizing::new(String::new());
    let read = stdin.read_line(&mut line);
    set(&shown).map_err(|error| wrong(&error))?;
    eprint_question("\n");
    read.map_err(|error| wrong(&error))?;
    Ok(Zeroizing::new(
        line.trim_end_matches(['\n', '\r']).as_bytes().to_vec(),
    ))
}

fn eprint_question(text: &str) {
    use std::io::Write as _;
    // A closed terminal answers nothing either.
    let _ = write!(std::io::stderr(), "{text}");
    let _ = std::io::stderr().flush();
}

/// Whether the user agrees; where nobody can be asked, he does not.
pub(super) fn confirmed(question: &str) -> Result<bool, Refused> {
    if !asks() {
        return Ok(false);
    }
    eprint_question(&format!("{question} [y/N] "));
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| (Exit::Environment, format!("terminal: {error}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
