//! The parameters of a run: given texts, checked against their declarations.
//!
//! It never reads the environment or the command line.

use std::collections::BTreeMap;

use super::expression::Value;
use super::model::{Param, ParamType, Pipeline};
use crate::yaml::nearest;

/// Why a parameter is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// No such parameter.
    #[error("no parameter named `{name}`: {help}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// The next step.
        help: String,
    },
    /// A required one is missing.
    #[error("the parameter `{name}` is required: add --param {name}=VALUE")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A value does not have the type.
    #[error("the parameter `{name}` is `{value}`, expected {expected}")]
    Type {
        /// Its name.
        name: String,
        /// The value.
        value: String,
        /// The type in words.
        expected: &'static str,
    },
    /// A value does not match the pattern.
    #[error("the parameter `{name}` is `{value}`, which does not match `{pattern}`")]
    Pattern {
        /// Its name.
        name: String,
        /// The value.
        value: String,
        /// The pattern.
        pattern: String,
    },
    /// A value is not one of the allowed ones.
    #[error("the parameter `{name}` is `{value}`, expected one of: {allowed}")]
    NotAllowed {
        /// Its name.
        name: String,
        /// The value.
        value: String,
        /// The allowed values.
        allowed: String,
    },
}

impl Pipeline {
    /// The value of every parameter that has one: given, or the default.
    /// Numbers and booleans have one spelling, so that equal values are equal texts.
    ///
    /// # Errors
    ///
    /// The first parameter, by name, that is unknown, missing or wrong.
    pub fn bind_params(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ParamError> {
        if let Some(name) = given.keys().find(|name| !self.params.contains_key(*name)) {
            return Err(ParamError::Unknown {
                name: name.clone(),
                help: self.near_param(name),
            });
        }
        let mut bound = BTreeMap::new();
        for (name, param) in &self.params {
            match given.get(name).or(param.default.as_ref()) {
                Some(text) => drop(bound.insert(name.clone(), param.accept(name, text)?)),
                None if param.required => {
                    return Err(ParamError::Missing { name: name.clone() });
                }
                None => {}
            }
        }
        Ok(bound)
    }

    fn near_param(&self, name: &str) -> String {
        let known: Vec<&str> = self.params.keys().map(String::as_str).collect();
        match nearest(name, known.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None if known.is_empty() => "this pipeline has no `params`".to_owned(),
            None => format!("use one of: {}", known.join(", ")),
        }
    }
}

impl Param {
    /// A text as a value of this parameter, in the canonical spelling.
    ///
    /// # Errors
    ///
    /// It does not have the type, match the pattern, or is not an allowed value.
    pub fn accept(&self, name: &str, text: &str) -> Result<String, ParamError> {
        let wrong = |expected| ParamError::Type {
            name: name.to_owned(),
            value: text.to_owned(),
            expected,
        };
        let value = match self.kind {
            ParamType::Text => text.to_owned(),
            ParamType::Bool => match text {
                "true" | "false" => text.to_owned(),
                _ => return Err(wrong("true or false")),
            },
            ParamType::Number => {
                let number = text.parse::<f64>().ok().filter(|n| n.is_finite());
                number.ok_or_else(|| wrong("a number"))?.to_string()
            }
        };
        if !self.allowed.is_empty() && !self.allowed.iter().any(|a| a == text || *a == value) {
            return Err(ParamError::NotAllowed {
                name: name.to_owned(),
                value,
                allowed: self.allowed.join(", "),
            });
        }
        if let Some(pattern) = &self.pattern {
            // The checker refuses patterns that do not compile.
            let matched = regex::Regex::new(pattern).is_ok_and(|p| p.is_match(text));
            if !matched {
                return Err(ParamError::Pattern {
                    name: name.to_owned(),
                    value,
                    pattern: pattern.clone(),
                });
            }
        }
        Ok(value)
    }

    /// A bound text as a value of expressions.
    #[must_use]
    pub fn value(&self, text: &str) -> Value {
        match (self.kind, text.parse::<f64>()) {
            (ParamType::Number, Ok(number)) => Value::Number(number),
            (ParamType::Bool, _) => Value::Bool(text == "true"),
            _ => Value::Text(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::check::parse;
    use crate::yaml::SourceText;

    fn bind(given: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
        let text = "kind: JackalPipeline\nversion: 1\nname: p\nparams:\n  \
                    version: { required: true, pattern: '^[0-9.]+$' }\n  \
                    channel: { enum: [nightly, stable], default: nightly }\n  \
                    count: { type: number }\n  fast: { type: bool, default: false }\n  \
                    slow: { type: boolean, default: true }\ntasks: {}\n";
        let given = given.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        parse(&SourceText::new("p.yaml", text))
            .unwrap()
            .bind_params(&given.collect())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn given_values_win_over_defaults_and_have_one_spelling() {
        let bound = bind(&[("version", "1.2"), ("count", "1e1")]).unwrap();
        assert_eq!(bound["version"], "1.2");
        assert_eq!(bound["channel"], "nightly");
        assert_eq!(bound["count"], "10");
        assert_eq!(bound["fast"], "false");
        assert_eq!(bound["slow"], "true");
    }

    #[test]
    fn each_refusal_names_the_parameter_and_the_next_step() {
        for (given, part) in [
            (&[("versoin", "1")][..], "did you mean `version`?"),
            (&[], "`version` is required"),
            (&[("version", "x")], "does not match"),
            (&[("version", "1"), ("channel", "beta")], "nightly, stable"),
            (&[("version", "1"), ("count", "NaN")], "expected a number"),
            (&[("version", "1"), ("fast", "yes")], "true or false"),
        ] {
            let found = bind(given).unwrap_err();
            assert!(found.contains(part), "{found}");
        }
    }
}
