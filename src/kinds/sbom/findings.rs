//! Findings about the files of components, kept from one scan to the next, so that a file
//! that did not change is not scanned again: adr/0076, "Files of components are scanned
//! once".
//!
//! A result names the pack of each component, and another one the packs that were made last
//! for components of that name. Their loss only costs time.

use std::fs::File;
use std::io::{self, BufReader};
use std::sync::Arc;

use crate::action::{ActionKey, ActionResult, InputFile, Output, fields};
use crate::cas::{Cas, CasError, Flush, Ingest, Key};
use crate::ground::Failure;
use crate::ground::inputs::Inputs;
use crate::kinds::Prepared;
use crate::sbom::CATALOGUE_VERSION;
use crate::sbom::findings::{Findings, Pack, Packs};

/// Most packs of components of one name: as many packages of a workspace may have one
/// called `base`.
const MOST: usize = 8;

fields! {
    struct FindingsSettings {
        component: String = "component",
    }
}

/// Where the findings about the files of a component are.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    /// Those of this very component.
    pub(crate) own: ActionKey,
    /// Those of the components of its name.
    pub(crate) shared: ActionKey,
}

impl Places {
    pub(super) fn of(cas: &Arc<Cas>, component: &str, tar: &InputFile) -> Result<Self, Failure> {
        let settings = FindingsSettings {
            component: component.to_owned(),
        };
        let key = |inputs| -> ActionKey {
            let kind = "component-findings";
            let prepared = Prepared::new(kind, CATALOGUE_VERSION, &settings, inputs);
            prepared.action.key()
        };
        let mut inputs = Inputs::new(cas);
        inputs.blob(super::TAR, tar.digest, tar.size)?;
        Ok(Self {
            own: key(inputs),
            shared: key(Inputs::new(cas)),
        })
    }
}

/// Why findings could not be stored.
pub(super) enum NotKept {
    Cas(CasError),
    Io(io::Error),
}

impl From<CasError> for NotKept {
    fn from(error: CasError) -> Self {
        Self::Cas(error)
    }
}

type Opened = Pack<BufReader<File>>;

/// The findings of earlier scans, and a new pack.
pub(super) struct Kept<'c> {
    packs: Packs<BufReader<File>, io::BufWriter<Ingest<'c>>>,
    earlier: Vec<Output>,
}

impl<'c> Kept<'c> {
    /// Opens those of `earlier` that are still there.
    pub(super) fn open(cas: &'c Cas, earlier: &[Output]) -> Result<Self, CasError> {
        let mut outputs = Vec::new();
        let mut packs: Vec<Opened> = Vec::new();
        for pack in earlier {
            if !cas.contains(&pack.digest, pack.size)? {
                continue;
            }
            let file = File::open(cas.path_of(&pack.digest)).ok();
            if let Some(opened) = file.and_then(|file| Pack::open(BufReader::new(file))) {
                packs.push(opened);
                outputs.push(pack.clone());
            }
        }
        Ok(Self {
            packs: Packs::new(packs, io::BufWriter::new(cas.ingest()?)),
            earlier: outputs,
        })
    }

    pub(super) fn findings(&mut self) -> &mut dyn Findings {
        &mut self.packs
    }

    /// Stores the new pack, and names it in `places`.
    pub(super) fn finish(self, cas: &Cas, places: &Places) -> Result<(), NotKept> {
        let (out, used) = self.packs.finish().map_err(NotKept::Io)?;
        let Some(out) = out else {
            return Ok(());
        };
        let ingest = out.into_inner();
        let ingest = ingest.map_err(|error| NotKept::Io(error.into_error()))?;
        let pack = ingest.output("findings")?;
        record(cas, &places.own, vec![pack.clone()])?;
        let mut all = vec![pack];
        for (output, opened) in self.earlier.into_iter().zip(&used) {
            let (used, has) = opened.use_of();
            // The new pack is a later version of one that it has most of.
            if used * 2 <= has && all.len() < MOST && output.digest != all[0].digest {
                all.push(output);
            }
        }
        Ok(record(cas, &places.shared, all)?)
    }
}

fn record(cas: &Cas, key: &ActionKey, outputs: Vec<Output>) -> Result<(), CasError> {
    let needs: Vec<_> = outputs
        .iter()
        .map(|pack| (pack.digest, pack.size))
        .collect();
    let result = ActionResult {
        outputs,
        log: None,
        reports: None,
        wall_ms: 0,
    };
    let key = Key(*key.as_bytes());
    cas.replace_result(&key, &result.encode(), &needs, Flush::Later)
}
