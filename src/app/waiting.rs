//! `jackal tools wait-for`: one attempt to reach a server.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::registry::{Options, Registry};

/// How long an attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to `address`, a host and a port.
///
/// # Errors
///
/// Why there is no connection.
pub async fn takes_connections(address: &str) -> Result<(), String> {
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

/// The status that `url` answers with.
///
/// # Errors
///
/// There is no answer.
pub async fn status_of(url: &str) -> Result<u16, String> {
    let client = Registry::new(Options::default());
    match timeout(PATIENCE, client.status(url)).await {
        Ok(Some(status)) => Ok(status),
        Ok(None) | Err(_) => Err("it does not answer".to_owned()),
    }
}
