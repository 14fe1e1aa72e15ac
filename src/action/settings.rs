//! The settings of an action: the arguments of a kind of work, besides its inputs.
//!
//! Settings are a list of named strings, so that keys and explanations can show each of
//! them. A kind declares its settings once, with [`fields!`](crate::action::fields),
//! which generates the struct, the code that writes every field, and the code that
//! reads them back, so that an action can run from its serialised form alone. No Rust
//! name and no `Debug` text is part of them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// Named strings, in insertion order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, String)>);

/// Why settings cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A required setting is missing.
    #[error("the action has no setting `{0}`")]
    Missing(String),
    /// A setting has an invalid value.
    #[error("the setting `{name}` is `{value}`, expected {expected}")]
    Value {
        name: String,
        value: String,
        /// The expected kind of value.
        expected: &'static str,
    },
}

impl Settings {
    pub fn put(&mut self, name: impl Into<String>, value: impl Display) {
        self.0.push((name.into(), value.to_string()));
    }

    /// Replaces the value of the setting called `name`, if there is one.
    pub fn replace(&mut self, name: &str, value: impl Display) {
        let mut all = self.0.iter_mut();
        if let Some((_, old)) = all.find(|(key, _)| key == name) {
            *old = value.to_string();
        }
    }

    /// The first value of the setting called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter();
        all.find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn parsed<T: FromStr>(&self, name: &str, expected: &'static str) -> Result<T, SettingsError> {
        let value = self
            .get(name)
            .ok_or_else(|| SettingsError::Missing(name.to_owned()))?;
        value.parse().map_err(|_| SettingsError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
            expected,
        })
    }
}

/// A value that can be written as settings and read back.
pub trait Fields: Sized {
    /// Writes it under `name`.
    fn write(&self, name: &str, to: &mut Settings);

    /// Reads the value under `name`.
    ///
    /// # Errors
    ///
    /// [`SettingsError`]
    fn read(name: &str, from: &Settings) -> Result<Self, SettingsError>;
}

macro_rules! texts {
    ($($type:ty: $expected:literal),* $(,)?) => {$(
        impl Fields for $type {
            fn write(&self, name: &str, to: &mut Settings) {
                to.put(name, self);
            }

            fn read(name: &str, from: &Settings) -> Result<Self, SettingsError> {
                from.parsed(name, $expected)
            }
        }
    )*};
}

texts! {
    String: "a string",
    bool: "true or false",
    u32: "a number",
    u64: "a number",
    i64: "a number",
    crate::oci::Platform: "a platform",
    crate::oci::Reference: "a reference",
}

impl<T: Fields> Fields for Option<T> {
    fn write(&self, name: &str, to: &mut Settings) {
        self.is_some().write(&format!("{name}?"), to);
        if let Some(value) = self {
            value.write(name, to);
        }
    }

    fn read(name: &str, from: &Settings) -> Result<Self, SettingsError> {
        let set = bool::read(&format!("{name}?"), from)?;
        set.then(|| T::read(name, from)).transpose()
    }
}

impl<T: Fields> Fields for Vec<T> {
    fn write(&self, name: &str, to: &mut Settings) {
        to.put(format!("{name}.length"), self.len());
        for (index, value) in self.iter().enumerate() {
            value.write(&format!("{name}.{index}"), to);
        }
    }

    fn read(name: &str, from: &Settings) -> Result<Self, SettingsError> {
        let length: usize = from.parsed(&format!("{name}.length"), "a number")?;
        let each = (0..length).map(|index| T::read(&format!("{name}.{index}"), from));
        each.collect()
    }
}

impl Fields for BTreeMap<String, String> {
    fn write(&self, name: &str, to: &mut Settings) {
        let pairs: Vec<(String, String)> = self.clone().into_iter().collect();
        pairs.write(name, to);
    }

    fn read(name: &str, from: &Settings) -> Result<Self, SettingsError> {
        Ok(Vec::<(String, String)>::read(name, from)?
            .into_iter()
            .collect())
    }
}

impl<A: Fields, B: Fields> Fields for (A, B) {
    fn write(&self, name: &str, to: &mut Settings) {
        self.0.write(&format!("{name}.0"), to);
        self.1.write(&format!("{name}.1"), to);
    }

    fn read(name: &str, from: &Settings) -> Result<Self, SettingsError> {
        Ok((
            A::read(&format!("{name}.0"), from)?,
            B::read(&format!("{name}.1"), from)?,
        ))
    }
}

/// Declares a struct whose fields are settings, each with its name in keys.
macro_rules! fields {
    ($($(#[$meta:meta])* $vis:vis struct $type:ident {
        $($(#[$doc:meta])* $field:ident: $of:ty = $name:literal),* $(,)?
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $type {
            $($(#[$doc])* $vis $field: $of,)*
        }

        impl $crate::action::Fields for $type {
            fn write(&self, name: &str, to: &mut $crate::action::Settings) {
                // Without `..`: a field that is not written does not compile.
                let Self { $($field),* } = self;
                $($field.write(&$crate::action::below(name, $name), to);)*
            }

            fn read(
                name: &str,
                from: &$crate::action::Settings,
            ) -> Result<Self, $crate::action::SettingsError> {
                Ok(Self {
                    $($field: $crate::action::Fields::read(
                        &$crate::action::below(name, $name),
                        from,
                    )?,)*
                })
            }
        }
    )*};
}
pub(crate) use fields;

/// The name of a field below `name`.
pub(crate) fn below(name: &str, field: &str) -> String {
    match name {
        "" => field.to_owned(),
        name => format!("{name}.{field}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fields! {
        struct Inner {
            text: String = "text",
            owner: Option<(u32, u32)> = "owner",
        }
    }

    fields! {
        struct Outer {
            list: Vec<Inner> = "list",
            map: BTreeMap<String, String> = "map",
            flag: bool = "flag",
        }
    }

    #[test]
    fn settings_survive_a_round_trip_under_their_declared_names() {
        let value = Outer {
            list: vec![
                Inner {
                    text: "x".into(),
                    owner: Some((1, 2)),
                },
                Inner {
                    text: String::new(),
                    owner: None,
                },
            ],
            map: [("a.b".to_owned(), "c".to_owned())].into(),
            flag: true,
        };
        let mut settings = Settings::default();
        value.write("", &mut settings);
        assert_eq!(Outer::read("", &settings).unwrap(), value);
        assert_eq!(settings.get("list.0.owner.1"), Some("2"));
        assert_eq!(settings.get("map.0.0"), Some("a.b"));
        let error = Outer::read("x", &settings).unwrap_err();
        assert_eq!(error, SettingsError::Missing("x.list.length".into()));
    }
}
