//! `jackal doctor`: whether a registry can be read from and published to.

use crate::oci::Reference;
use crate::registry::{Connection, Probe};
use crate::source::OpenError;

/// Probes the repository `name` (`oci://HOST/PATH`).
///
/// # Errors
///
/// [`OpenError`]: nothing was probed. Failed probes are in the result.
pub async fn doctor(
    name: &str,
    connection: &Connection,
    write: bool,
) -> Result<Vec<Probe>, OpenError> {
    let path = Reference::url_path(name).unwrap_or(name);
    let reference = Reference::hosted(path).map_err(|source| OpenError::Name {
        text: Reference::shown(name),
        source,
    })?;
    let registry = connection.client()?;
    Ok(registry.probe(&reference, write).await)
}
