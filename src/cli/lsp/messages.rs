//! Messages of a client, as they come in: headers, then JSON.

use std::io::{self, BufRead, Read as _};
use std::sync::mpsc::SyncSender;

use lsp_server::Message;

use crate::text::excerpt;

/// Maximum size of a message, in bytes. The longest ones hold a whole file.
const MAX_MESSAGE: u64 = 64 << 20;

/// Maximum size of the headers of a message, in bytes. The two that exist have about 90.
const MAX_HEADERS: u64 = 8 << 10;

pub(super) enum Incoming {
    Message(Message),
    Malformed(String),
}

/// Reads messages until the input ends. One that is malformed is skipped.
pub(super) fn read_all(input: &mut impl BufRead, sender: &SyncSender<Incoming>) {
    while let Ok(incoming) = read_next(input) {
        if sender.send(incoming).is_err() {
            return;
        }
    }
}

/// The next message.
///
/// # Errors
///
/// The input ends, or what follows is longer than anything that is read.
fn read_next(input: &mut impl BufRead) -> io::Result<Incoming> {
    let length = match read_headers(input)? {
        Ok(length) if length > MAX_MESSAGE => return Err(io::ErrorKind::FileTooLarge.into()),
        Ok(length) => length,
        Err(why) => return Ok(Incoming::Malformed(why)),
    };
    let mut body = Vec::new();
    input.take(length).read_to_end(&mut body)?;
    // Memory grows with what arrives, not with what was announced.
    if u64::try_from(body.len()).unwrap_or(u64::MAX) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(match serde_json::from_slice(&body) {
        Ok(message) => Incoming::Message(message),
        Err(error) => Incoming::Malformed(error.to_string()),
    })
}

/// The length of the body that follows the headers, or why they are malformed. Then the
/// next line is the next header.
///
/// Source: Language Server Protocol 3.17, "Base Protocol".
///
/// # Errors
///
/// The input ends, or the headers are longer than [`MAX_HEADERS`].
fn read_headers(input: &mut impl BufRead) -> io::Result<Result<u64, String>> {
    let mut left = input.take(MAX_HEADERS);
    let mut length = None;
    loop {
        let mut line = Vec::new();
        left.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let malformed = || Ok(Err(format!("header `{}`", excerpt(line, 200))));
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                let value = value.trim();
                if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
                    return malformed();
                }
                // A number that does not fit is too long as well.
                length = Some(value.parse().unwrap_or(u64::MAX));
            }
            // The type: it is always JSON in UTF-8.
            Some(_) => {}
            None if line.is_empty() => {
                return Ok(length.ok_or_else(|| "no `Content-Length`".to_owned()));
            }
            None => return malformed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn what_is_malformed_is_skipped_and_what_is_endless_ends() {
        let framed = |text: &str| format!("Content-Length: {}\r\n\r\n{text}", text.len());
        const TYPE: &str = "Content-Type: application/vscode-jsonrpc; charset=utf-8";
        let huge = "content-length: 99999999999999999999999\r\n\r\n";
        let good = framed("{\"jsonrpc\":\"2.0\",\"method\":\"exit\"}");
        for (input, messages, malformed) in [
            (good.clone(), 1, 0),
            (format!("{}{good}", framed("{")), 1, 1),
            (format!("{}{good}", framed("[1]")), 1, 1),
            (format!("garbage\r\n{good}"), 1, 1),
            (format!("Content-Length: -1\r\n{good}"), 1, 1),
            ("Content-Length: 99\r\n\r\n{}".to_owned(), 0, 0),
            (format!("{TYPE}\r\n{good}{good}"), 2, 0),
            (good.replacen("\r\n", &format!("\r\n{TYPE}\r\n"), 1), 1, 0),
            (format!("{TYPE}\r\n\r\n{good}"), 1, 1),
            (format!("{TYPE}\r\n{huge}"), 0, 0),
            (format!("{huge}{good}"), 0, 0),
            (format!("X: {}\r\n{good}", "x".repeat(9 << 10)), 0, 0),
            (format!("{}{good}", "X: x\r\n".repeat(2 << 10)), 0, 0),
            ("x".repeat(9 << 10), 0, 0),
            ("Content-Length: 999999999999\r\n\r\n{}".to_owned(), 0, 0),
            (String::new(), 0, 0),
        ] {
            let (sender, receiver) = sync_channel(9);
            read_all(&mut input.as_bytes(), &sender);
            drop(sender);
            let (good, bad): (Vec<_>, Vec<_>) = receiver
                .iter()
                .partition(|one| matches!(one, Incoming::Message(_)));
            assert_eq!((good.len(), bad.len()), (messages, malformed), "{input}");
        }
    }
}
