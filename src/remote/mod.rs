//! Remote caches: results and blobs on servers that speak the Remote Execution API,
//! version 2.
//!
//! `client` and `stream` move results and blobs, `channel` makes calls, `limits` knows what
//! a server can do. A store like the others: what it yields is verified by size and digest
//! before anything sees it, and other bytes count as missing. What a result says is a
//! different matter: whoever may write to the server can store any result under any key.
//! Never reads the environment.

mod address;
mod batches;
mod breaker;
mod channel;
mod client;
mod error;
mod limits;
mod probe;
#[doc(hidden)]
pub mod proto;
mod stream;

pub use address::{Address, AddressError};
pub use batches::Blob;
pub use breaker::{Breaker, Weight};
pub use channel::Header;
pub use client::{Options, Remote};
pub use error::RemoteError;
pub use limits::{Capabilities, Limits};
pub use probe::Tried;
pub use proto::digest_of;
