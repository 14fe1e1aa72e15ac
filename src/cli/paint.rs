//! Colours by meaning. What a colour says, words say too.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};

use super::environment::variable;

/// What a coloured text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Good,
    Bad,
    Warning,
    /// Of less interest than what is around it.
    Minor,
    Advice,
}

impl Meaning {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Warning => AnsiColor::Yellow.on_default().bold(),
            Self::Minor => Style::new().dimmed(),
            Self::Advice => AnsiColor::Cyan.on_default(),
        }
    }
}

/// Whether the user turned colours off, by a flag or a setting.
static OFF: AtomicBool = AtomicBool::new(false);

/// Uses no colours from now on.
pub(super) fn turn_off() {
    OFF.store(true, Ordering::Relaxed);
}

/// Whether texts are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    /// For stderr.
    ///
    /// Source: no-color.org, and bixense.com/clicolors.
    pub(super) fn of_stderr() -> Self {
        let set = |name| variable(name).is_some();
        let is = |name, text| variable(name).is_some_and(|value| value == text);
        let terminal = std::io::stderr().is_terminal() && !is("TERM", "dumb");
        Self(
            !OFF.load(Ordering::Relaxed)
                && !set("NO_COLOR")
                && (forced(variable("CLICOLOR_FORCE")) || terminal && !is("CLICOLOR", "0")),
        )
    }

    pub(super) fn as_meaning(self, meaning: Meaning, text: &str) -> String {
        match self.0 && !text.is_empty() {
            true => {
                let style = meaning.style();
                format!("{style}{text}{style:#}")
            }
            false => text.to_owned(),
        }
    }

    /// A message, with the words that begin its lines.
    pub(super) fn message(self, text: &str) -> String {
        const WORDS: [(&str, Meaning); 4] = [
            ("error:", Meaning::Bad),
            ("warning:", Meaning::Warning),
            ("note:", Meaning::Advice),
            ("help:", Meaning::Advice),
        ];
        if !self.0 {
            return text.to_owned();
        }
        let line = |line: &str| {
            let bare = line.trim_start_matches(' ');
            let known = WORDS.iter().find(|(word, _)| bare.starts_with(word));
            match known {
                Some((word, meaning)) => {
                    let before = &line[..line.len() - bare.len()];
                    let word = self.as_meaning(*meaning, word);
                    let rest = &bare[bare.find(':').map_or(0, |at| at + 1)..];
                    format!("{before}{word}{rest}")
                }
                None => line.to_owned(),
            }
        };
        text.split('\n').map(line).collect::<Vec<_>>().join("\n")
    }
}

fn forced(value: Option<std::ffi::OsString>) -> bool {
    value.is_some_and(|value| value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_of_a_message_are_coloured_and_nothing_else() {
        let text = "error: a warning: b\n  help: c\nplain";
        assert_eq!(Paint(false).message(text), text);
        assert_eq!(
            Paint(true).message(text),
            "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m a warning: b\n  \u{1b}[36mhelp:\u{1b}[0m c\nplain"
        );
        assert_eq!(Paint(true).as_meaning(Meaning::Good, ""), "");
    }

    #[test]
    fn zero_does_not_force_colours() {
        assert!(!forced(None) && !forced(Some("0".into())) && forced(Some("1".into())));
    }
}
