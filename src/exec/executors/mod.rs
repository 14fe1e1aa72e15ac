//! One file a task kind: what a ready action does when nothing is cached.

mod component;
mod fetch;
mod images;
mod import;

pub use component::{ComponentError, write_component};
pub use fetch::{FetchError, InFlight, KindError, Pin, fetch, resolve};
pub use images::{FetchedImage, ImagesError, assemble};
pub use import::{ImportError, import};
