//! A registry for rehearsals: small, local, and with injected faults.
//!
//! Serves the distribution protocol from files in a folder, with the behaviour of a
//! kind of registry and with injected faults. It is not meant for storing packages: it
//! has one user and loses unfinished uploads. Source: distribution-spec 1.1.

mod access;
mod body;
mod fault;
mod log;
mod receive;
mod reply;
mod route;
mod server;
mod store;
mod tls;

pub use access::Login;
pub use fault::{Fault, FaultError, Kind};
pub use log::Request;
pub use server::{Options, Server};
pub use tls::Tls;
