//! Where a remote cache is: `grpc://HOST:PORT[/INSTANCE]`, or `grpcs://` with TLS.

use std::fmt;
use std::net::IpAddr;

use crate::text::shown_address;

/// Words that have a meaning in names of resources, so that no part of an instance's
/// name may be one of them.
const RESERVED: &[&str] = &[
    "blobs",
    "uploads",
    "actions",
    "actionResults",
    "operations",
    "capabilities",
    "compressed-blobs",
];

/// The address of a remote cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `HOST:PORT`, or `HOST` with the usual port.
    pub host: String,
    /// One server can have several caches; empty: its only one.
    pub instance: String,
    /// Whether it is reached without TLS.
    pub plain: bool,
}

/// Why a text is not the address of a remote cache.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("`{0}` is not the address of a remote cache: expected grpcs://HOST[:PORT][/INSTANCE]")]
    Malformed(String),
    #[error("`{0}` has a login in it: put it in a file, and name that with --remote-token-file")]
    Login(String),
    #[error("the instance `{0}` contains the reserved word `{1}`")]
    Reserved(String, &'static str),
    /// A host elsewhere, without TLS.
    #[error(
        "`{0}` is not on this machine, and grpc:// has no TLS: anyone on the way could replace \
         results. Use grpcs://, or allow it with --remote-insecure"
    )]
    Plain(String),
}

impl Address {
    /// Reads an address; `insecure`: without TLS it may be on another machine.
    ///
    /// # Errors
    ///
    /// [`AddressError`]
    pub fn parse(text: &str, insecure: bool) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(shown_address(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        let plain = match scheme {
            "grpc" => true,
            "grpcs" => false,
            _ => return Err(malformed()),
        };
        let (host, instance) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(AddressError::Login(shown_address(text)));
        }
        let instance = instance.trim_end_matches('/');
        let sane = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if host.is_empty() || !host.chars().all(sane) || host.starts_with(':') {
            return Err(malformed());
        }
        let is_segment = |segment: &str| {
            let sane = |c: char| c.is_ascii_alphanumeric() || "-._~@+=:".contains(c);
            !segment.is_empty() && segment.chars().all(sane)
        };
        if !instance.is_empty() && !instance.split('/').all(is_segment) {
            return Err(malformed());
        }
        let reserved = RESERVED
            .iter()
            .find(|word| instance.split('/').any(|segment| segment == **word));
        if let Some(word) = reserved {
            return Err(AddressError::Reserved(instance.to_owned(), word));
        }
        let address = Self {
            host: host.to_owned(),
            instance: instance.to_owned(),
            plain,
        };
        if plain && !insecure && !address.is_loopback() {
            return Err(AddressError::Plain(address.to_string()));
        }
        Ok(address)
    }

    fn is_loopback(&self) -> bool {
        let name = match self.host.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((address, _)) => address,
            None => self.host.split(':').next().unwrap_or(&self.host),
        };
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.plain { "grpc" } else { "grpcs" };
        write!(f, "{scheme}://{}", self.host)?;
        match self.instance.as_str() {
            "" => Ok(()),
            instance => write!(f, "/{instance}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_an_instance() {
        for (text, host, instance, plain) in [
            ("grpc://127.0.0.1:9092", "127.0.0.1:9092", "", true),
            ("grpc://[::1]:1/main", "[::1]:1", "main", true),
            ("grpc://localhost", "localhost", "", true),
            ("grpcs://c.example/a/b/", "c.example", "a/b", false),
        ] {
            let found = Address::parse(text, false).unwrap();
            assert_eq!(
                (found.host.as_str(), found.instance.as_str(), found.plain),
                (host, instance, plain)
            );
            assert_eq!(found.to_string(), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "c.example",
            "http://c.example",
            "grpcs://",
            "grpcs:///main",
            "grpcs://:80",
            "grpcs://c.example/a//b",
            "grpcs://c.example/a b",
            "grpcs://c.example\n/a",
        ] {
            let found = Address::parse(text, true);
            assert!(matches!(found, Err(AddressError::Malformed(_))), "{text}");
        }
        let found = Address::parse("grpcs://me:secret@c.example", true).unwrap_err();
        assert!(!found.to_string().contains("secret"), "{found}");
        let found = Address::parse("grpcs://c.example/a/uploads", true);
        assert!(matches!(found, Err(AddressError::Reserved(_, "uploads"))));
    }

    #[test]
    fn without_tls_another_machine_must_be_allowed() {
        for text in [
            "grpc://c.example:80",
            "grpc://10.0.0.1",
            "grpc://127.0.0.1.io",
        ] {
            let found = Address::parse(text, false);
            assert!(matches!(found, Err(AddressError::Plain(_))), "{text}");
            assert!(Address::parse(text, true).is_ok(), "{text}");
        }
    }
}
