//! Stable codes of mistakes and refusals, each with its page for `jackal explain`.
//!
//! This table is the only place: a code that is used and has no page does not compile,
//! and a test finds pages that nothing uses. A code that was released keeps its name.

/// What `jackal explain` prints about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// What is wrong, in one line.
    pub title: &'static str,
    /// Why it is a mistake, and what happens because of it.
    pub cause: &'static str,
    /// Lines that cause it, or what a user sees.
    pub example: &'static str,
    pub fix: &'static str,
}

/// Declares the codes: variant, name, page.
macro_rules! codes {
    ($($variant:ident $name:literal { $title:literal, $cause:literal, $example:literal, $fix:literal })+) => {
        /// What kind of mistake or refusal something is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// All codes, by subject.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As users see it, such as `missing-file`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What `jackal explain` prints about it.
            #[must_use]
            pub const fn page(self) -> Page {
                match self {
                    $(Self::$variant => Page { title: $title, cause: $cause, example: $example, fix: $fix },)+
                }
            }
        }
    };
}

mod pages;

pub use pages::Code;

impl Code {
    /// The code with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
