//! One file a task kind: what a ready action does when nothing is cached.

mod component;

pub use component::{ComponentError, write_component};
