//! `jackal doctor`: whether a registry can be read from and published to.

use super::connection::Connection;
use super::opened::OpenError;
use crate::registry::Probe;
use crate::release::hosted;

/// Asks the repository that `name` stands for (`oci://HOST/PATH`).
///
/// # Errors
///
/// [`OpenError`]: nothing was asked. What the registry refused is in the probes.
pub async fn doctor(
    name: &str,
    connection: &Connection,
    write: bool,
) -> Result<Vec<Probe>, OpenError> {
    let rest = name.strip_prefix("oci://").unwrap_or(name);
    let reference = hosted(rest).map_err(|source| OpenError::Name {
        text: name.to_owned(),
        source,
    })?;
    let registry = connection.client()?;
    Ok(registry.probe(&reference, write).await)
}
