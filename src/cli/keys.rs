//! Where keys and passwords come from: flags, files, environment, terminal.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::command_error::CommandError;
use super::exit::Exit;
use super::options::{environment, program_folders, variables};
use crate::signers::{KeySources, password_in};

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
    /// Source: docs/spec/signing.md, "Passwords".
    pub(super) fn password(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        if let Some(flag) = &self.flag {
            return Ok(Zeroizing::new(flag.clone().into_bytes()));
        }
        if let Some(path) = &self.file {
            let read = password_in(path);
            return read.map_err(CommandError::usage);
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
    pub(super) fn new_password(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        let given = self.flag.is_some() || self.file.is_some();
        if given || std::env::var_os("COSIGN_PASSWORD").is_some() || !asks() {
            return self.password();
        }
        let first = ask("Password for the private key: ")?;
        let second = ask("The same again: ")?;
        match first == second {
            true => Ok(first),
            false => Err(CommandError::usage(
                "the two passwords differ: nothing was written",
            )),
        }
    }
}

fn asks() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && environment("CI").is_none()
}

/// Asks on the terminal, which shows nothing of the answer. Keys arrive as they
/// are pressed, Ctrl-C as well, so that the terminal is left as it was.
fn ask(question: &str) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let wrong = |error| CommandError::io("terminal", error);
    eprint_question(question);
    let stdin = std::io::stdin();
    let shown = tcgetattr(&stdin).map_err(|error| wrong(error.into()))?;
    let mut hidden = shown.clone();
    hidden
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    let set = |modes| tcsetattr(&stdin, OptionalActions::Flush, modes);
    set(&hidden).map_err(|error| wrong(error.into()))?;
    let typed = line_of(&mut stdin.lock());
    set(&shown).map_err(|error| wrong(error.into()))?;
    eprint_question("\n");
    typed
        .map_err(wrong)?
        .ok_or_else(|| CommandError::new(Exit::Interrupted, "stopped at the password"))
}

/// What is typed up to the end of the line; `None`: Ctrl-C.
fn line_of(keys: &mut impl std::io::Read) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    let mut key = [0];
    loop {
        let ended = keys.read(&mut key)? == 0;
        match key[0] {
            _ if ended => return Ok(Some(line)),
            b'\n' | b'\r' | 0x04 => return Ok(Some(line)),
            0x03 | 0x1c => return Ok(None),
            // Backspace takes a character, which may be several bytes.
            0x08 | 0x7f => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U begins anew.
            0x15 => line.clear(),
            key => line.push(key),
        }
    }
}

fn eprint_question(text: &str) {
    use std::io::Write as _;
    // A closed terminal answers nothing either.
    let _ = write!(std::io::stderr(), "{text}");
    let _ = std::io::stderr().flush();
}

/// Whether the user agrees; where nobody can be asked, he does not.
pub(super) fn confirmed(question: &str) -> Result<bool, CommandError> {
    if !asks() {
        return Ok(false);
    }
    eprint_question(&format!("{question} [y/N] "));
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| CommandError::io("terminal", error))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_typed_corrected_or_given_up() {
        let typed = |keys: &[u8]| line_of(&mut &keys[..]).unwrap().map(|line| line.to_vec());
        assert_eq!(typed(b"secret\rrest"), Some(b"secret".to_vec()));
        assert_eq!(typed("ab\u{e9}\x7fc\n".as_bytes()), Some(b"abc".to_vec()));
        assert_eq!(typed(b"wrong\x15right"), Some(b"right".to_vec()));
        assert_eq!(typed(b"\x7f\n"), Some(Vec::new()));
        assert_eq!(typed(b"sec\x03"), None);
    }
}
