//! One file a task kind: what a ready action does when nothing is cached.

mod chart;
mod component;
mod export;
mod fetch;
mod frames;
mod image;
mod images;
mod import;
mod member;
mod package;
mod repository;
mod run;
mod sbom;
mod skeleton;

/// The name of an output that is a tar of one thing, whose entries begin with
/// one name: what stands there, links as they are.
pub const TREE: &str = "tree.tar";

pub use chart::{ChartError, chart_files, package_chart};
pub use component::{
    Brought, ComponentError, SourceError, chart_file, extracted, inside, is_archive, kustomized,
    outside, repo_folder, write_component,
};
pub use export::{ArchiveFormat, ExportError, Exported, Packing, export_archive};
pub use fetch::{FetchError, Fetched, InFlight, KindError, Pin, fetch, resolve};
pub use image::{Base, ImageConfig, ImageError, ImageSpec, LayerSpec, build_image};
pub use images::{FetchedImage, ImagesError, assemble};
pub use import::{ImportError, import};
pub use member::{MemberError, extract_member};
pub use package::{BuildData, PackageError, Part, compress_member, package, sboms_tar};
pub use repository::{Git, RepositoryError};
pub use run::{DeclaredOutput, Ran, RunError, RunTask, Staged, materialise, run};
pub use sbom::{SbomError, component_sbom, image_sbom, is_container, read_document, scan_layer};
pub use skeleton::{is_made, write_skeleton};
