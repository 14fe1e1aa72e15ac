//! Pages for a browser: each is one file that loads nothing, and shows what it is given as
//! text only (adr/0083, "A report is one page").

pub mod sbom;

use std::io::{self, Write};

use base64::Engine as _;

use crate::oci::Digest;

/// What all pages share.
const STYLE: &str = include_str!("base.css");
const SCRIPT: &str = include_str!("base.js");

/// A page without its data.
#[derive(Debug)]
pub struct Page {
    pub style: &'static str,
    pub body: &'static str,
    /// Runs after that of all pages, which has parsed the data.
    pub script: &'static str,
}

impl Page {
    /// Begins the page: its data follow as JSON, then [`Open::end`].
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn begin<W: Write>(&self, mut out: W) -> io::Result<Open<W>> {
        let style = [STYLE, self.style].concat();
        let script = ["'use strict';\n", SCRIPT, self.script].concat();
        // Only these two run, whatever the data hold.
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
            hash(&style),
            hash(&script)
        );
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <title>jackal</title>\n<style>{style}</style>\n</head>\n<body>\n{}\
             <script type=\"application/json\" id=\"data\">",
            self.body
        )?;
        Ok(Open { out, script })
    }
}

/// What a policy calls a script or a style.
fn hash(text: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    let encoded = base64::engine::general_purpose::STANDARD.encode(digest.as_bytes());
    format!("sha256-{encoded}")
}

/// A page that waits for its data. No text in them can end the element that holds them.
#[derive(Debug)]
pub struct Open<W> {
    out: W,
    script: String,
}

impl<W: Write> Open<W> {
    /// Writes what follows the data.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn end(mut self) -> io::Result<W> {
        write!(
            self.out,
            "</script>\n<script>{}</script>\n</body>\n</html>\n",
            self.script
        )?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Open<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        // In JSON, these are in strings only.
        let special = json.iter().position(|byte| b"<>&".contains(byte));
        match special {
            None => self.out.write_all(json)?,
            Some(0) => {
                write!(self.out, "\\u{:04x}", json[0])?;
                return Ok(1);
            }
            Some(at) => {
                self.out.write_all(&json[..at])?;
                return Ok(at);
            }
        }
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::Value;

    use super::*;

    /// The data of a page, as its script reads them.
    pub(crate) fn data(page: &str) -> Value {
        let (_, rest) = page.split_once("id=\"data\">").unwrap();
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn no_text_leaves_the_element_of_the_data_and_only_our_script_runs() {
        let page = Page {
            style: "b{}",
            body: "<p></p>\n",
            script: "x();\n",
        };
        let bad = "</script><script>alert(1)</script><!-- & \u{2028}";
        let mut open = page.begin(Vec::new()).unwrap();
        serde_json::to_writer(&mut open, &serde_json::json!({ bad: [bad] })).unwrap();
        let text = String::from_utf8(open.end().unwrap()).unwrap();
        assert_eq!(text.matches("</script>").count(), 2, "{text}");
        assert_eq!(data(&text)[bad][0], bad);
        // The policy has the hash of what is between the marks of the script.
        let (_, script) = text.rsplit_once("<script>").unwrap();
        let (script, _) = script.split_once("</script>").unwrap();
        assert!(script.ends_with("x();\n"), "{script}");
        assert!(text.contains(&format!("script-src '{}'", hash(script))));
        assert!(!text.contains("unsafe"), "{text}");
    }
}
