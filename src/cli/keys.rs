//! Passwords of keys and other questions to the user.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::command_error::CommandError;
use super::environment::interactive;
use super::exit::Exit;
use super::output::{note, prompt};
use crate::app::password_in;

/// The sources of a key's password.
#[derive(Clone, Debug, Default)]
pub(super) struct PasswordFrom {
    pub flag: Option<String>,
    pub file: Option<PathBuf>,
}

impl PasswordFrom {
    /// From the flag, the file, `COSIGN_PASSWORD` or the terminal; else empty.
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
        // An empty value is a password too.
        if let Some(text) = std::env::var_os("COSIGN_PASSWORD") {
            return Ok(Zeroizing::new(text.into_encoded_bytes()));
        }
        match interactive() {
            true => ask("Password of the private key: "),
            false => Ok(Zeroizing::default()),
        }
    }

    /// The password for a new key, from the same sources; the terminal asks twice.
    pub(super) fn new_password(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        let given = self.flag.is_some() || self.file.is_some();
        if given || std::env::var_os("COSIGN_PASSWORD").is_some() || !interactive() {
            return self.password();
        }
        let first = ask("Password for the private key: ")?;
        let second = ask("Repeat the password: ")?;
        match first == second {
            true => Ok(first),
            false => Err(CommandError::usage(
                "the passwords do not match; nothing was written",
            )),
        }
    }
}

/// Asks on the terminal without echo. Keys arrive as they are pressed, Ctrl-C
/// included, so that the terminal's modes are restored in any case.
pub(super) fn ask(question: &str) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let wrong = |error| CommandError::io("terminal", error);
    prompt(question);
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
    note("");
    typed
        .map_err(wrong)?
        .ok_or_else(|| CommandError::new(Exit::Interrupted, "interrupted"))
}

/// The text typed up to the end of the line; `None`: Ctrl-C.
fn line_of(keys: &mut impl std::io::Read) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    let mut key = [0];
    loop {
        let ended = keys.read(&mut key)? == 0;
        match key[0] {
            _ if ended => return Ok(Some(line)),
            b'\n' | b'\r' | 0x04 => return Ok(Some(line)),
            0x03 | 0x1c => return Ok(None),
            // Backspace removes a character, which may be several bytes.
            0x08 | 0x7f => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U clears the line.
            0x15 => line.clear(),
            key => line.push(key),
        }
    }
}

/// Asks a yes-or-no question; without a terminal, the answer is no.
pub(super) fn confirmed(question: &str) -> Result<bool, CommandError> {
    if !interactive() {
        return Ok(false);
    }
    prompt(&format!("{question} [y/N] "));
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
