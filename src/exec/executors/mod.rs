//! One file a task kind: what a ready action does when nothing is cached.

mod component;
mod export;
mod fetch;
mod image;
mod images;
mod import;
mod package;
mod run;
mod sbom;
mod skeleton;

pub use component::{ComponentError, SourceError, inside, outside, write_component};
pub use export::{ArchiveFormat, ExportError, Exported, export_archive};
pub use fetch::{FetchError, InFlight, KindError, Pin, fetch, resolve};
pub use image::{Base, ImageConfig, ImageError, ImageSpec, LayerSpec, build_image};
pub use images::{FetchedImage, ImagesError, assemble};
pub use import::{ImportError, import};
pub use package::{BuildData, PackageError, Part, compress_member, package, rfc3339, sboms_tar};
pub use run::{DeclaredOutput, Ran, RunError, RunTask, Staged, materialise, run};
pub use sbom::{SbomError, component_sbom, image_sbom, is_container, read_document, scan_layer};
pub use skeleton::write_skeleton;
