//! `jackal dev registry`: a registry for testing publish and pull.

use std::io;

use crate::rehearsal::{Options, Server};

/// Starts the registry; it runs until the server is dropped.
///
/// # Errors
///
/// The address or the folder cannot be used.
pub async fn rehearse(options: Options) -> io::Result<Server> {
    Server::start(options).await
}
