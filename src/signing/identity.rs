//! Trusted identities for signatures by certificate.
//!
//! Source: docs/spec/signing.md, "Identities".

use regex::Regex;

/// A pattern for a value in a certificate.
#[derive(Clone, Debug)]
pub enum Pattern {
    Exact(String),
    /// Matches by an expression.
    Expression(Expression),
}

/// A regular expression that must match a value from its beginning to its end; one
/// that begins with `^` need only match the beginning.
///
/// One that matches anywhere would accept `https://evil.example/https://ours.example`.
#[derive(Clone, Debug)]
pub struct Expression {
    written: String,
    anchored: Regex,
}

impl Pattern {
    /// A pattern by the regular expression `written`.
    ///
    /// # Errors
    ///
    /// A message: it is not a regular expression, or matches every value without
    /// `.*`.
    pub fn expression(written: &str) -> Result<Self, String> {
        let text = |error: regex::Error| error.to_string();
        // On its own first: `a)|(b` would leave the group around it.
        Regex::new(written).map_err(text)?;
        let open = written.starts_with('^');
        let end = if open { "" } else { r"\z" };
        let anchored = Regex::new(&format!(r"\A(?:{written}){end}"));
        // A comment of the extended syntax ends with its line.
        let anchored = anchored.or_else(|_| Regex::new(&format!("\\A(?:{written}\n){end}")));
        let anchored = anchored.map_err(text)?;
        if open && anchored.is_match("") && !written.contains(".*") {
            return Err("it matches every value: write `.*` if that is intended".to_owned());
        }
        Ok(Self::Expression(Expression {
            written: written.to_owned(),
            anchored,
        }))
    }

    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == text,
            Self::Expression(wanted) => wanted.anchored.is_match(text),
        }
    }

    /// The pattern as the user wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Expression(wanted) => &wanted.written,
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
    /// A setting has no value.
    #[error("{0} is empty: give its value, or leave it out")]
    Empty(&'static str),
    /// The regular expression cannot be used.
    #[error("the regular expression `{pattern}` cannot be used: {what}")]
    Pattern {
        /// As the user gave it.
        pattern: String,
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
            // It would match no one, or everyone.
            (Some(text), None) | (None, Some(text)) if text.trim().is_empty() => {
                Err(IdentityError::Empty(name))
            }
            (Some(exact), None) => Ok(Some(Pattern::Exact(exact.to_owned()))),
            (None, Some(expression)) => {
                let made = Pattern::expression(expression);
                made.map(Some).map_err(|what| IdentityError::Pattern {
                    pattern: expression.to_owned(),
                    what,
                })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn by_expression(written: &str) -> Result<Option<Identity>, IdentityError> {
        Identity::given(
            ["identity", "issuer"],
            (None, Some(written)),
            (Some("https://i.example"), None),
        )
    }

    #[test]
    fn an_expression_must_match_the_whole_value() {
        let matches = |written: &str, text: &str| {
            let identity = by_expression(written).unwrap().unwrap();
            assert_eq!(identity.subject.as_str(), written);
            identity.subject.matches(text)
        };
        assert!(matches(
            "https://ours[.]example/.*",
            "https://ours.example/a"
        ));
        assert!(matches("^a@b$", "a@b") && matches("a|ab", "ab"));
        assert!(matches("(?x) a b # both", "ab"));
        // As it is written.
        assert!(matches(
            "^https://ours[.]example/",
            "https://ours.example/a"
        ));
        assert!(matches("^.*", "a") && matches(".*", "a"));
        for (written, text) in [
            ("https://ours[.]example/", "https://ours.example/a"),
            ("ours", "https://evil.example/ours"),
            ("a|b", "xb"),
            ("a|b", "ax"),
            ("^a|b", "xb"),
            ("^a$", "ab"),
            ("(?m)^a$", "a\nb"),
            ("a", "a\n"),
            ("(?x) a # b", "ax"),
        ] {
            assert!(!matches(written, text), "{written} {text}");
        }
    }

    #[test]
    fn an_expression_that_is_empty_or_leaves_its_group_is_refused() {
        for written in ["", " ", "\t\n"] {
            assert_eq!(
                by_expression(written).unwrap_err(),
                IdentityError::Empty("identity")
            );
        }
        for written in ["a)|(b", "a)|(?:b", "(", "^", "^()", "^a?", "^|b"] {
            let error = by_expression(written).unwrap_err();
            assert!(matches!(error, IdentityError::Pattern { .. }), "{error}");
        }
        let exact = |identity, issuer| {
            let given = (Some(identity), None);
            Identity::given(["identity", "issuer"], given, (Some(issuer), None))
        };
        assert_eq!(
            exact("", "i").unwrap_err(),
            IdentityError::Empty("identity")
        );
        assert_eq!(exact("a", " ").unwrap_err(), IdentityError::Empty("issuer"));
        assert!(exact("a", "i").unwrap().is_some());
    }
}
