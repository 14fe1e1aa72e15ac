//! `jackal doctor`: whether a registry can be read from and published to, and what a remote
//! cache can do.

use std::sync::Arc;

use crate::cas::{Cas, CasError};
use crate::disk::scratch_folder;
use crate::oci::Reference;
use crate::registry::Connection;
use crate::remote::{Options as RemoteClientOptions, Remote};
use crate::source::OpenError;
use crate::text::with_causes;

/// One thing that was checked: what was found, or why it does not work.
pub struct Checked {
    pub what: &'static str,
    pub found: Result<String, String>,
}

/// Probes the repository `name` (`oci://HOST/PATH`).
///
/// # Errors
///
/// [`OpenError`]: nothing was probed. Failed probes are in the result.
pub async fn doctor(
    name: &str,
    connection: &Connection,
    write: bool,
) -> Result<Vec<Checked>, OpenError> {
    let path = Reference::url_path(name).unwrap_or(name);
    let reference = Reference::hosted(path).map_err(|source| OpenError::Name {
        text: Reference::shown(name),
        source,
    })?;
    let registry = connection.client()?;
    let probes = registry.probe(&reference, write).await.into_iter();
    let checked = probes.map(|probe| Checked {
        what: probe.what,
        found: probe.found.map_err(|error| with_causes(&error)),
    });
    Ok(checked.collect())
}

/// Probes a remote cache.
///
/// # Errors
///
/// No temporary folder can be made.
pub async fn doctor_remote(
    options: &RemoteClientOptions,
    write: bool,
) -> Result<Vec<Checked>, CasError> {
    let remote = match Remote::new(options) {
        Ok(remote) => Arc::new(remote),
        Err(error) => {
            let found = Err(with_causes(&error));
            let what = "connection";
            return Ok(vec![Checked { what, found }]);
        }
    };
    let folder = scratch_folder().map_err(CasError::from)?;
    let [from, to] = ["from", "to"].map(|name| Cas::open(folder.path().join(name)).map(Arc::new));
    let tried = remote.probe(from?, to?, write).await.into_iter();
    let checked = tried.map(|tried| Checked {
        what: tried.what,
        found: tried.found.map_err(|error| with_causes(&error)),
    });
    Ok(checked.collect())
}
