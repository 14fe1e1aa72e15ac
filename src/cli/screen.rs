//! Lines at the bottom of a terminal that change, below lines that stay.
//!
//! Everything that one repaint changes is one write. Lines that have not changed are
//! not written again.

use crossterm::cursor::{MoveDown, MoveToColumn, MoveUp};
use crossterm::queue;
use crossterm::style::Print;
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::paint::{Meaning, Paint};

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Size {
    /// Of the terminal that stderr is; `None`: it has no size.
    pub(super) fn of_stderr() -> Option<Self> {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
        let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
        (columns > 0 && rows > 0).then_some(Self { columns, rows })
    }
}

/// One line, in parts of different meaning. It contains no control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(Option<Meaning>, String)>);

impl Line {
    pub(super) fn add(&mut self, meaning: Option<Meaning>, text: impl Into<String>) {
        self.0.push((meaning, text.into()));
    }

    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.width()).sum()
    }

    /// The text that fits, and its width.
    fn fitted(&self, paint: Paint, columns: usize) -> (String, usize) {
        let (mut all, mut used) = (String::new(), 0);
        for (meaning, text) in &self.0 {
            let part = cut(text, columns - used);
            used += part.width();
            match meaning {
                Some(meaning) => all.push_str(&paint.as_meaning(*meaning, &part)),
                None => all.push_str(&part),
            }
            if part.len() < text.len() {
                break;
            }
        }
        (all, used)
    }
}

/// As much of a text as fits.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let dots = if columns > 3 { "..." } else { "" };
    let (mut shown, mut used) = (String::new(), dots.len());
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        shown.push(c);
    }
    shown + dots
}

/// What is shown at the bottom of a terminal.
#[derive(Default)]
pub(super) struct Screen {
    /// Each line with its width. The cursor is behind the last one.
    shown: Vec<(String, usize)>,
    columns: usize,
}

impl Screen {
    /// Whether anything is shown.
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// What to write so that `above`, whole lines that stay, and then `lines` are shown;
    /// empty if nothing changes.
    pub(super) fn update(
        &mut self,
        above: &str,
        lines: &[Line],
        paint: Paint,
        columns: usize,
    ) -> Vec<u8> {
        // In the last column a terminal may wrap or not.
        let most = columns.saturating_sub(1).max(1);
        let lines: Vec<_> = lines.iter().map(|line| line.fitted(paint, most)).collect();
        let same_place =
            above.is_empty() && self.columns == columns && lines.len() == self.shown.len();
        if (same_place || self.shown.is_empty() && above.is_empty()) && lines == self.shown {
            return Vec::new();
        }
        let mut out = Vec::new();
        // Writing to memory cannot fail.
        let _ = queue!(out, BeginSynchronizedUpdate);
        let _ = match same_place {
            true => self.redraw(&mut out, &lines),
            false => self.draw(&mut out, above, &lines, columns),
        };
        let _ = queue!(out, EndSynchronizedUpdate);
        self.shown = lines;
        self.columns = columns;
        out
    }

    /// Writes all lines, below `above`.
    fn draw(
        &self,
        out: &mut Vec<u8>,
        above: &str,
        lines: &[(String, usize)],
        columns: usize,
    ) -> std::io::Result<()> {
        // A terminal that has become narrower has wrapped what was shown.
        let rows = |(_, width): &(String, usize)| width.div_ceil(columns.max(1)).max(1);
        let up: usize = self.shown.iter().map(rows).sum();
        queue!(out, MoveToColumn(0))?;
        if up > 1 {
            queue!(out, MoveUp(small(up - 1)))?;
        }
        queue!(out, Clear(ClearType::FromCursorDown), Print(above))?;
        for (at, (text, _)) in lines.iter().enumerate() {
            let end = if at + 1 < lines.len() { "\n" } else { "" };
            queue!(out, Print(text), Print(end))?;
        }
        Ok(())
    }

    /// Writes the lines that differ.
    fn redraw(&self, out: &mut Vec<u8>, lines: &[(String, usize)]) -> std::io::Result<()> {
        queue!(out, MoveToColumn(0))?;
        if lines.len() > 1 {
            queue!(out, MoveUp(small(lines.len() - 1)))?;
        }
        let mut down = 0;
        for (at, (new, old)) in lines.iter().zip(&self.shown).enumerate() {
            let last = at + 1 == lines.len();
            if down > 0 && (new != old || last) {
                queue!(out, MoveDown(down), MoveToColumn(0))?;
                down = 0;
            }
            if new != old {
                queue!(out, Print(&new.0), Clear(ClearType::UntilNewLine))?;
            } else if last {
                queue!(out, MoveToColumn(small(new.1)))?;
            }
            down += 1;
        }
        Ok(())
    }
}

fn small(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        line.add(None, text);
        line
    }

    fn shown(screen: &mut Screen, above: &str, lines: &[&str], columns: usize) -> String {
        let lines: Vec<Line> = lines.iter().map(|text| line(text)).collect();
        let out = screen.update(above, &lines, Paint(false), columns);
        let out = String::from_utf8(out).unwrap();
        out.replace("\u{1b}[?2026h", "<")
            .replace("\u{1b}[?2026l", ">")
            .replace('\u{1b}', "^")
    }

    #[test]
    fn only_what_changed_is_written() {
        let mut screen = Screen::default();
        assert_eq!(shown(&mut screen, "", &[], 80), "");
        assert_eq!(shown(&mut screen, "", &["a", "b"], 80), "<^[1G^[Ja\nb>");
        assert_eq!(shown(&mut screen, "", &["a", "b"], 80), "");
        assert_eq!(
            shown(&mut screen, "", &["a", "c"], 80),
            "<^[1G^[1A^[1B^[1Gc^[K>"
        );
        assert_eq!(
            shown(&mut screen, "", &["x", "c"], 80),
            "<^[1G^[1Ax^[K^[1B^[1G^[2G>"
        );
        assert_eq!(
            shown(&mut screen, "done\n", &["x"], 80),
            "<^[1G^[1A^[Jdone\nx>"
        );
        assert_eq!(shown(&mut screen, "", &[], 80), "<^[1G^[J>");
        assert!(screen.is_empty());
    }

    #[test]
    fn a_line_that_a_narrower_terminal_has_wrapped_is_replaced_as_a_whole() {
        let mut screen = Screen::default();
        shown(&mut screen, "", &["0123456789", "b"], 80);
        assert_eq!(
            shown(&mut screen, "", &["0123456789", "b"], 4),
            "<^[1G^[3A^[J012\nb>"
        );
    }

    #[test]
    fn a_line_is_cut_where_the_terminal_ends() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abc...");
        assert_eq!(cut("abcdefg", 2), "ab");
        // Wide letters take two columns.
        assert_eq!(cut("日本語日本語", 8), "日本...");
        let mut two = line("ab");
        two.add(Some(Meaning::Bad), "cdefgh");
        assert_eq!(two.width(), 8);
        let (text, width) = two.fitted(Paint(true), 7);
        assert_eq!(
            (text.as_str(), width),
            ("ab\u{1b}[1m\u{1b}[31mcd...\u{1b}[0m", 7)
        );
    }
}
