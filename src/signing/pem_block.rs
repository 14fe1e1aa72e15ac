//! Text armour: the first block of a file decides, text before it is ignored.

/// Largest key file that is read, in bytes: 64 KiB; an RSA key of 8192 bits in
/// its container takes a tenth of that.
pub const MAX_KEY_BYTES: usize = 64 << 10;

/// Label and content of the first block of `text`; `None`: there is no whole one.
pub fn first(text: &[u8]) -> Option<(String, Vec<u8>)> {
    if text.len() > MAX_KEY_BYTES {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let begins = text.find("-----BEGIN ")?;
    let block = pem::parse(text.get(begins..)?).ok()?;
    Some((block.tag().to_owned(), block.into_contents()))
}

/// `content` as a block: 64 columns, LF.
pub fn write(label: &str, content: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, content), config)
}
