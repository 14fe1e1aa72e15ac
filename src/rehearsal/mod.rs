//! A registry to rehearse with: small, on this machine, and as faulty as asked.
//!
//! Speaks the distribution protocol over files in a folder, with the habits of
//! a kind of registry and with faults that are injected. What is tried against
//! it meets on a quiet evening what registries do at night. It is no registry to
//! keep packages in: it knows one user, and forgets uploads that were begun.
//! Source: distribution-spec 1.1.

mod access;
mod body;
mod fault;
mod log;
mod route;
mod server;
mod store;
mod tls;

pub use access::Login;
pub use fault::{Fault, FaultError, Kind};
pub use log::Request;
pub use server::{Options, Server};
pub use tls::Tls;
