//! YAML text to nodes with line and column, and mistakes that point at nodes.
//!
//! Part of the lowest layer: `pipeline` and `package` read their files through
//! it, so that all mistakes of a file are reported at once, each with its place.
//! It reads text only: it never opens a file and knows no schema.

mod mistake;
mod nearest;
mod node;
mod parse;
mod quote;
mod reader;
mod scalar;
mod sources;

pub use mistake::{Mistake, Mistakes};
pub use nearest::nearest;
pub use node::{Node, Span, Style, Value};
pub use parse::{MAX_COPIED_BYTES, MAX_DEPTH, MAX_NODES, parse, parse_first, parse_only, second};
pub use quote::{double_quoted, literal_block};
pub use reader::Fields;
pub use scalar::scalar;
pub use sources::{SourceText, Sources};
