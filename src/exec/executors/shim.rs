//! shim
#![allow(missing_docs, clippy::todo, clippy::unimplemented, unused)]
use crate::action::Output; use crate::cas::Cas; use crate::oci::*; use crate::package::Definition; use std::path::*;
#[derive(Debug, thiserror::Error)] #[error("x")] pub struct ImagesError;
#[derive(Debug, thiserror::Error)] #[error("x")] pub struct ImportError;
pub struct FetchedImage { pub reference: String, pub manifest: Descriptor, pub outputs: Vec<Output> }
pub fn assemble(cas:&Cas, images:&[FetchedImage]) -> Result<Vec<Output>, ImagesError> { todo!() }
pub fn inside(s:&str) -> Result<(), super::ComponentError> { todo!() }
