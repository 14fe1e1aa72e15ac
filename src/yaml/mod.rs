//! YAML text to nodes that know their line and column, and the mistakes that
//! point at them.
//!
//! A word of the lowest layer: `pipeline` and `package` read their files
//! through it, so that every mistake of a file is reported at once and with its
//! place. It reads text only: it opens no file and knows no schema.

mod mistake;
mod node;
mod parse;
mod reader;
mod sources;

pub use mistake::{Mistake, Mistakes, SourceText};
pub use node::{Node, Span, Style, Value};
pub use parse::{MAX_DEPTH, MAX_NODES, parse, parse_first};
pub use reader::Fields;
pub use sources::Sources;
