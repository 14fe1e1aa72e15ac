//! Whom the user trusts, where a certificate says who signed.
//!
//! Source: docs/spec/signing.md, "Identities".

use regex::Regex;

/// How a word of a certificate is compared with what is wanted.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Byte for byte.
    Exact(String),
    /// Some part of it fits, as in cosign: whoever means all of it writes `^…$`.
    Search(Regex),
}

impl Pattern {
    /// Whether `text` is meant.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == text,
            Self::Search(wanted) => wanted.is_match(text),
        }
    }

    /// The pattern as the user wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Search(pattern) => pattern.as_str(),
        }
    }
}

/// Why what was given names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Anybody may call himself so with some issuer.
    #[error("an identity requires an issuer: add {0}")]
    NoIssuer(&'static str),
    /// Everybody of an issuer.
    #[error("an issuer requires an identity: add {0}")]
    NoIdentity(&'static str),
    /// Said twice.
    #[error("{0} and {0}-regexp cannot be used together")]
    Both(&'static str),
    /// The expression is none.
    #[error("`{pattern}` is not a regular expression: {what}")]
    Pattern {
        /// As the user gave it.
        pattern: String,
        /// What is wrong.
        what: String,
    },
}

/// A signer by certificate: identity and the issuer that vouches for it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The subject alternative name.
    pub subject: Pattern,
    /// The issuer of the identity token.
    pub issuer: Pattern,
}

impl Identity {
    /// Whether this one, of exact words, is whom `wanted` means.
    #[must_use]
    pub fn is(&self, wanted: &Self) -> bool {
        wanted.subject.matches(self.subject.as_str()) && wanted.issuer.matches(self.issuer.as_str())
    }

    /// Puts an identity together from exact words and expressions; `None`:
    /// nothing was given. `names` are what the user calls identity and issuer.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]
    pub fn given(
        names: [&'static str; 2],
        subject: (Option<&str>, Option<&str>),
        issuer: (Option<&str>, Option<&str>),
    ) -> Result<Option<Self>, IdentityError> {
        let pattern = |name, given: (Option<&str>, Option<&str>)| match given {
            (Some(_), Some(_)) => Err(IdentityError::Both(name)),
            (Some(exact), None) => Ok(Some(Pattern::Exact(exact.to_owned()))),
            (None, Some(expression)) => {
                let made = Regex::new(expression).map_err(|error| IdentityError::Pattern {
                    pattern: expression.to_owned(),
                    what: error.to_string(),
                })?;
                Ok(Some(Pattern::Search(made)))
            }
            (None, None) => Ok(None),
        };
        match (pattern(names[0], subject)?, pattern(names[1], issuer)?) {
            (Some(subject), Some(issuer)) => Ok(Some(Self { subject, issuer })),
            (Some(_), None) => Err(IdentityError::NoIssuer(names[1])),
            (None, Some(_)) => Err(IdentityError::NoIdentity(names[0])),
            (None, None) => Ok(None),
        }
    }
}
