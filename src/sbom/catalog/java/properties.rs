//! Lists of properties, as Java writes them.
//!
//! Source: the documentation of `java.util.Properties.load`.

/// Maximum number of pairs of one list; the rest is ignored.
const MAX_PAIRS: usize = 1000;

/// The pairs of a list, in their order.
pub(super) fn parse(bytes: &[u8]) -> Vec<(String, String)> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut line = String::new();
    for part in text.lines() {
        let part = part.trim_start();
        if line.is_empty() && (part.is_empty() || part.starts_with(['#', '!'])) {
            continue;
        }
        line.push_str(part);
        let slashes = line.len() - line.trim_end_matches('\\').len();
        if slashes % 2 == 1 {
            line.pop();
            continue;
        }
        pairs.push(pair(&line));
        line.clear();
        if pairs.len() == MAX_PAIRS {
            break;
        }
    }
    if !line.is_empty() {
        pairs.push(pair(&line));
    }
    pairs
}

/// The key and the value of a whole line.
fn pair(line: &str) -> (String, String) {
    let mut is_escaped = false;
    let end = line.find(|c: char| {
        let ends = !is_escaped && (c == '=' || c == ':' || c.is_whitespace());
        is_escaped = !is_escaped && c == '\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescaped(key), unescaped(rest.trim()))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                plain.extend(code.and_then(char::from_u32));
            }
            other => plain.extend(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_have_escapes_and_lines_continue() {
        let pairs = parse(b"#c\r\n! d\na=b\r\n c : d e \nf\\=g\\\n   h=\\u0041\\\\\nlone\nend\\");
        let expected = [
            ("a", "b"),
            ("c", "d e"),
            ("f=gh", "A\\"),
            ("lone", ""),
            ("end", ""),
        ];
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(pairs, expected);
    }
}
