//! One file a task kind: what a ready action does when nothing is cached.

mod component;
mod fetch;

pub use component::{ComponentError, write_component};
pub use fetch::{FetchError, InFlight, Pin, fetch, resolve};
