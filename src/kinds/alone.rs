//! Runs single actions: a folder with an action and its blobs is all that is needed, on
//! any machine.
//!
//! The folder has `action.json` and `blobs/sha256/HEX`. The result is the same as in a
//! build, because both call [`make_pure`].

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::action::{InputFile, Output, WireError, decode, encode};
use crate::cas::Cas;
use crate::disk;
use crate::ground::inputs::Inputs;
use crate::ground::{Failure, failures};
use crate::kinds::{Bench, Prepared, make_pure};
use crate::oci::Descriptor;

/// The file of the action in the folder.
const ACTION_FILE: &str = "action.json";

failures! {
    WireError: |_| Class::Configuration;
}

/// Writes the action of a prepared step and every blob that it may read to `folder`.
pub(crate) fn pack(prepared: &Prepared, folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder.join("blobs/sha256"))?;
    for (path, file) in prepared.action.inputs.files() {
        let to = blob(folder, file);
        if to.is_file() {
            continue;
        }
        let mut content = prepared.inputs.open(&path)?;
        let mut out = disk::stream(&to).map_err(io::Error::from)?;
        io::copy(&mut content, &mut out)?;
    }
    let document = encode(&prepared.action)?;
    disk::write(&folder.join(ACTION_FILE), &document).map_err(io::Error::from)?;
    Ok(())
}

/// Makes the outputs of the action in `folder` and stores them in `cas`.
pub(crate) async fn carry_out(folder: &Path, cas: &Arc<Cas>) -> Result<Vec<Output>, Failure> {
    let action = decode(&fs::read(folder.join(ACTION_FILE))?)?;
    for (_, file) in action.inputs.files() {
        let content = File::open(blob(folder, file))?;
        cas.put(&Descriptor::blob(file.digest, file.size), content)?;
    }
    let inputs = Inputs::of(Arc::clone(&action.inputs), cas);
    Ok(make_pure(&action, &inputs, &Bench::alone(cas))
        .await?
        .outputs)
}

fn blob(folder: &Path, file: &InputFile) -> std::path::PathBuf {
    folder.join("blobs/sha256").join(file.digest.hex())
}
