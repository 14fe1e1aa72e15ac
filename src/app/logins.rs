//! `jackal tools registry login` and `logout`: checked, then kept where Docker keeps them.

use std::path::Path;

use serde_json::json;

use crate::disk::{self, DiskError, OwnerError};
use crate::oci::{Reference, ReferenceError};
use crate::registry::{
    Connection, ConnectionError, CredentialsError, Kept, LoginText, RegistryError, tell_helper,
    with_login, without_login,
};

/// Largest file with logins, in bytes: 16 MiB.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Why a login was not kept or removed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// The registry does not accept it. Nothing was written.
    #[error("the login was not kept")]
    Refused(#[source] RegistryError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Folder(#[from] OwnerError),
}

/// The registry that `server` names: a host, perhaps as an address.
fn reference(server: &str) -> Result<Reference, LoginError> {
    let host = server
        .strip_prefix("https://")
        .or_else(|| server.strip_prefix("http://"))
        .unwrap_or(server);
    let host = host.split('/').next().unwrap_or_default();
    Ok(Reference::hosted(&format!("{host}/login")).map_err(|error| error.of(server))?)
}

/// Checks that the registry `server` accepts the login, and keeps it in `file`, or where
/// that file says. Returns where.
///
/// # Errors
///
/// [`LoginError`]
pub async fn log_in(
    connection: &Connection,
    file: &Path,
    server: &str,
    (user, password): (&str, &str),
) -> Result<String, LoginError> {
    let at = reference(server)?;
    let own = with_login("the login", "", at.registry(), (user, password))?;
    let text = match own {
        Kept::InFile(text) => text,
        Kept::ByHelper(_) | Kept::Nowhere => json!({}).to_string(),
    };
    let checking = Connection {
        logins: vec![LoginText {
            from: "the command line".to_owned(),
            text: Ok(text),
        }],
        ..connection.clone()
    };
    let registry = checking.client()?;
    registry
        .check_login(&at)
        .await
        .map_err(LoginError::Refused)?;
    let from = format!("`{}`", file.display());
    let kept = with_login(&from, &read(file)?, at.registry(), (user, password))?;
    keep(connection, file, &at, kept, Some((user, password)))
}

/// Removes the login to `server` from where [`log_in`] keeps it. Returns where it was;
/// `None`: there was none.
///
/// # Errors
///
/// [`LoginError`]
pub fn log_out(
    connection: &Connection,
    file: &Path,
    server: &str,
) -> Result<Option<String>, LoginError> {
    let at = reference(server)?;
    let from = format!("`{}`", file.display());
    match without_login(&from, &read(file)?, at.registry())? {
        Kept::Nowhere => Ok(None),
        kept => keep(connection, file, &at, kept, None).map(Some),
    }
}

fn keep(
    connection: &Connection,
    file: &Path,
    at: &Reference,
    kept: Kept,
    login: Option<(&str, &str)>,
) -> Result<String, LoginError> {
    match kept {
        Kept::ByHelper(helper) => {
            tell_helper(&connection.helper_folders, &helper, at.registry(), login)?;
            Ok(format!("docker-credential-{helper}"))
        }
        Kept::InFile(text) => {
            // It may be a link to the file of another folder, which is then replaced.
            let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
            if let Some(folder) = real.parent().filter(|folder| !folder.exists()) {
                disk::private_folder(folder)?;
            }
            disk::write_private(&real, text.as_bytes())?;
            Ok(format!("`{}`", file.display()))
        }
        Kept::Nowhere => Ok(String::new()),
    }
}

/// The text of the file; none if there is no file.
fn read(file: &Path) -> Result<String, LoginError> {
    if !file.exists() {
        return Ok(String::new());
    }
    Ok(disk::read_text(file, MAX_FILE_BYTES)?)
}
