//! PEM: the first block of a file counts; text before it is ignored.

/// Maximum size of a key file, in bytes: 64 KiB. A container with an RSA key of
/// 8192 bits needs a tenth of that.
pub const MAX_KEY_BYTES: usize = 64 << 10;

/// Label and content of the first block of `text`; `None`: no complete block.
pub fn first(text: &[u8]) -> Option<(String, Vec<u8>)> {
    if text.len() > MAX_KEY_BYTES {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let begins = text.find("-----BEGIN ")?;
    let block = pem::parse(text.get(begins..)?).ok()?;
    Some((block.tag().to_owned(), block.into_contents()))
}

/// Encodes `content` as a block with 64 columns and LF.
pub fn write(label: &str, content: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, content), config)
}
