//! Trusted identities for signatures by certificate.
//!
//! Source: docs/spec/signing.md, "Identities".

use regex::Regex;

/// A pattern for a value in a certificate.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// The exact value.
    Exact(String),
    /// Matches any part of the value, as in cosign; use `^…$` for the whole.
    Search(Regex),
}

impl Pattern {
    /// Whether `text` matches.
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

/// Why settings do not give an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// An identity without its issuer proves nothing.
    #[error("an identity requires an issuer: add {0}")]
    NoIssuer(&'static str),
    /// An issuer without an identity would accept all its users.
    #[error("an issuer requires an identity: add {0}")]
    NoIdentity(&'static str),
    /// Both forms were given.
    #[error("{0} and {0}-regexp cannot be used together")]
    Both(&'static str),
    /// The regular expression is malformed.
    #[error("`{pattern}` is not a regular expression: {what}")]
    Pattern {
        /// As the user gave it.
        pattern: String,
        /// What is wrong.
        what: String,
    },
}

/// An identity and its issuer.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The subject alternative name.
    pub subject: Pattern,
    /// The issuer of the identity token.
    pub issuer: Pattern,
}

impl Identity {
    /// Whether this identity, which has exact patterns, matches `wanted`.
    #[must_use]
    pub fn is(&self, wanted: &Self) -> bool {
        wanted.subject.matches(self.subject.as_str()) && wanted.issuer.matches(self.issuer.as_str())
    }

    /// Creates an identity from exact values and regular expressions; `None`:
    /// nothing was given. `names` are the names of the settings in errors.
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
