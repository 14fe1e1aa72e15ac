//! Where in a YAML file a position is, also while the file does not parse: the keys around
//! it, by indentation and brackets.
//!
//! A reader of YAML stops at the first mistake, and a file that is being typed has one. This
//! one looks at the lines above the position only, and never fails.

/// One step from the root of a document to a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(String),
    /// An item of a list.
    Item,
}

/// What is being written at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// From the root to the mapping, list or key that the position is in.
    pub path: Vec<Step>,
    /// What is written before the position, of the key or value.
    pub written: String,
    /// Whether it is a value of the last key; else a key may be written, and also a value if
    /// the last step is an item or a key without a value on its own line.
    pub is_value: bool,
}

impl Context {
    /// The last key on the way.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.path.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item => None,
        })
    }

    /// The keys on the way, from the root.
    pub fn keys(&self) -> Vec<&str> {
        let keys = self.path.iter();
        keys.filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item => None,
        })
        .collect()
    }
}

/// What one line brings: steps, each with its column.
type Steps = Vec<(usize, Step)>;

/// The context of a position: `line` from 0, `column` in characters from 0. `None` in
/// comments and in the text of block scalars.
#[must_use]
pub fn context(text: &str, line: usize, column: usize) -> Option<Context> {
    let lines: Vec<&str> = text.lines().collect();
    let line = line.min(lines.len());
    let before: String = lines
        .get(line)
        .unwrap_or(&"")
        .chars()
        .take(column)
        .collect();
    let start = start_of_flow(&lines, line, &before)?;
    let logical = match start == line {
        true => before,
        false => {
            let mut joined = lines[start..line].join("\n");
            joined.push('\n');
            joined.push_str(&before);
            joined
        }
    };
    let (mut steps, rest_at, rest) = steps_of(&logical);
    let mut inner = Vec::new();
    let (written, is_value) = match split_key(&rest) {
        Some((key, value)) => {
            steps.push((rest_at, Step::Key(key)));
            flow(value, &mut inner)
        }
        None if rest.starts_with(['[', '{']) => flow(&rest, &mut inner),
        None => (unquoted(&rest), false),
    };
    // An empty line belongs where the position is.
    let limit = match steps.first() {
        Some((column, _)) => *column,
        None => rest_at,
    };
    let mut path = above(&lines[..start], limit, steps.first().map(|(_, step)| step))?;
    path.extend(steps.into_iter().map(|(_, step)| step));
    path.extend(inner);
    Some(Context {
        path,
        written,
        is_value,
    })
}

/// The keys of the mapping that the line `line` belongs to, other than its own, each with
/// what follows it on its line.
#[must_use]
pub fn siblings(text: &str, line: usize) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let column_of = |line: &str| {
        let (_, at, rest) = steps_of(line);
        let pair = split_key(&rest).map(|(key, value)| (key, value.trim().to_owned()));
        (at, pair)
    };
    let own = lines.get(line).copied().unwrap_or_default();
    let (own_at, _) = column_of(own);
    let own_has_dash = own.trim_start().starts_with("- ");
    let mut found = Vec::new();
    if !own_has_dash {
        for text in lines[..line.min(lines.len())].iter().rev() {
            if is_blank(text) {
                continue;
            }
            let (at, key) = column_of(text);
            let indent = text.len() - text.trim_start().len();
            if at == own_at {
                found.extend(key);
            }
            if indent < own_at {
                break;
            }
        }
    }
    for text in lines.iter().skip(line + 1) {
        if is_blank(text) {
            continue;
        }
        let indent = text.len() - text.trim_start().len();
        let (at, key) = column_of(text);
        if indent < own_at || text.trim_start().starts_with("- ") && indent <= own_at {
            break;
        }
        if at == own_at {
            found.extend(key);
        }
    }
    found
}

/// The keys directly below `path`, and their lines from 0: of block mappings.
#[must_use]
pub fn keys_below(text: &str, path: &[&str]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    // Columns of the keys on the way that were found.
    let mut open: Vec<usize> = Vec::new();
    let mut below: Option<usize> = None;
    for (number, line) in text.lines().enumerate() {
        if is_blank(line) {
            continue;
        }
        let (steps, at, rest) = steps_of(line);
        let Some((key, _)) = split_key(&rest).filter(|_| steps.is_empty()) else {
            continue;
        };
        while open.last().is_some_and(|column| *column >= at) {
            open.pop();
            below = None;
        }
        if open.len() == path.len() {
            if *below.get_or_insert(at) == at {
                found.push((key, number));
            }
        } else if path[open.len()] == key && (open.is_empty() && at == 0 || !open.is_empty()) {
            open.push(at);
        }
    }
    found
}

fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#') || line == "---"
}

/// The line on which the brackets open that the position is in; its own line without any.
/// `None` in a comment.
fn start_of_flow(lines: &[&str], line: usize, before: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut start = line;
    let mut indent = 0;
    let mut quote = None;
    let all = lines[..line].iter().copied().chain([before]);
    for (number, text) in all.enumerate() {
        let own = text.len() - text.trim_start().len();
        // What continues in brackets is indented further; else they were left open.
        let continues = own > indent || text.trim_start().starts_with([']', '}']);
        if depth == 0 || !continues && !is_blank(text) {
            (start, indent, depth, quote) = (number, own, 0, None);
        }
        let mut previous = ' ';
        for c in text.chars() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if matches!(previous, ' ' | '[' | '{' | ',') => quote = Some(c),
                (None, '#') if previous == ' ' && number == line => return None,
                (None, '#') if previous == ' ' => break,
                (None, '[' | '{') if depth > 0 || previous == ' ' => depth += 1,
                (None, ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            previous = c;
        }
    }
    Some(start)
}

/// The items that a line begins, where what follows them begins, and what that is.
fn steps_of(line: &str) -> (Steps, usize, String) {
    let mut steps = Vec::new();
    let mut at = line.chars().take_while(|c| *c == ' ').count();
    let mut rest = line.get(at..).unwrap_or_default();
    while let Some(after) = rest.strip_prefix('-') {
        if !after.is_empty() && !after.starts_with(' ') {
            break;
        }
        steps.push((at, Step::Item));
        let spaces = after.chars().take_while(|c| *c == ' ').count();
        at += 1 + spaces;
        rest = after.get(spaces..).unwrap_or_default();
    }
    (steps, at, rest.to_owned())
}

/// A key and what follows its colon, if there is one outside of quotes and brackets.
fn split_key(text: &str) -> Option<(String, &str)> {
    if text.starts_with(['[', '{', '#', '|', '>']) {
        return None;
    }
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let end = text[1..].find(quote)? + 1;
        let value = text[end + 1..].strip_prefix(':')?;
        return Some((text[1..end].to_owned(), value));
    }
    let colon = text.match_indices(':').map(|(at, _)| at).find(|at| {
        let after = text[at + 1..].chars().next();
        after.is_none_or(char::is_whitespace)
    })?;
    let key = text[..colon].trim();
    (!key.is_empty() && !key.contains(" #")).then(|| (key.to_owned(), &text[colon + 1..]))
}

/// Follows a value up to the position; pushes the steps into its brackets. Returns what is
/// written last, and whether it is a value.
fn flow(text: &str, steps: &mut Vec<Step>) -> (String, bool) {
    let mut written = String::new();
    let mut is_value = true;
    let mut open: Vec<char> = Vec::new();
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), c) => written.push(c),
            (None, '"' | '\'') if written.trim().is_empty() => {
                written.clear();
                quote = Some(c);
            }
            (None, '[' | '{') if written.trim().is_empty() => {
                open.push(c);
                if c == '[' {
                    steps.push(Step::Item);
                }
                is_value = c == '[';
                written.clear();
            }
            (None, ']' | '}') if !open.is_empty() => {
                if open.pop() == Some('{') {
                    pop_key(steps, is_value);
                } else {
                    steps.pop();
                }
                written.clear();
                is_value = true;
            }
            (None, ',') if !open.is_empty() => {
                if open.last() == Some(&'{') {
                    pop_key(steps, is_value);
                    is_value = false;
                }
                written.clear();
            }
            (None, ':') if open.last() == Some(&'{') && !is_value => {
                steps.push(Step::Key(written.trim().to_owned()));
                written.clear();
                is_value = true;
            }
            (None, '\n') => written.clear(),
            (None, c) => written.push(c),
        }
    }
    (written.trim_start().to_owned(), is_value)
}

/// Leaves the value of a key in braces.
fn pop_key(steps: &mut Vec<Step>, is_value: bool) {
    if is_value && matches!(steps.last(), Some(Step::Key(_))) {
        steps.pop();
    }
}

fn unquoted(text: &str) -> String {
    text.trim_start_matches(['"', '\'']).to_owned()
}

/// The steps above a line whose first step is at column `limit`. `None` in a block scalar.
fn above(lines: &[&str], limit: usize, first: Option<&Step>) -> Option<Vec<Step>> {
    let mut path = Vec::new();
    let mut limit = limit;
    let mut top_is_item = matches!(first, Some(Step::Item));
    for line in lines.iter().rev() {
        if is_blank(line) {
            continue;
        }
        let (mut steps, at, rest) = steps_of(line);
        if let Some((key, value)) = split_key(&rest) {
            let value = value.trim();
            let is_text = value.starts_with(['|', '>']) && value.len() <= 3;
            if is_text && at < limit {
                return None;
            }
            steps.push((at, Step::Key(key)));
        }
        for (column, step) in steps.into_iter().rev() {
            // A list may begin at the column of its key.
            let same = top_is_item && column == limit && matches!(step, Step::Key(_));
            if column < limit || same {
                top_is_item = matches!(step, Step::Item);
                limit = column;
                path.push(step);
            }
        }
        if limit == 0 && !top_is_item {
            break;
        }
    }
    path.reverse();
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The context at `@` as text: keys and `-`, then what is written.
    fn at(text: &str) -> Option<String> {
        let place = text.find('@').unwrap();
        let line = text[..place].matches('\n').count();
        let begin = text[..place].rfind('\n').map_or(0, |at| at + 1);
        let column = text[begin..place].chars().count();
        let found = context(&text.replacen('@', "", 1), line, column)?;
        let steps = found.path.iter().map(|step| match step {
            Step::Key(key) => key.as_str(),
            Step::Item => "-",
        });
        let mark = if found.is_value { "=" } else { "?" };
        Some(format!(
            "{} {mark}{}",
            steps.collect::<Vec<_>>().join("/"),
            found.written
        ))
    }

    #[test]
    fn keys_and_values_are_found_in_files_that_do_not_parse() {
        for (text, expected) in [
            ("ta@", " ?ta"),
            ("tasks:\n  a:\n    ti@", "tasks/a ?ti"),
            ("tasks:\n  a:\n    @\n  b: [", "tasks/a ?"),
            ("tasks:\n  a:\n    timeout: 5@", "tasks/a/timeout =5"),
            ("tasks:\n  a: { run: [x], ti@", "tasks/a ?ti"),
            ("tasks:\n  a: { run: [x, 'task:b@", "tasks/a/run/- =task:b"),
            (
                "tasks:\n  a: { cache: { fresh: 1@",
                "tasks/a/cache/fresh =1",
            ),
            ("tasks:\n  a: { cache: { fresh: 1 }, @", "tasks/a ?"),
            ("inputs:\n- a\n- ta@", "inputs/- ?ta"),
            ("x:\n  inputs: [\n    a,\n    'b@", "x/inputs/- =b"),
            ("components:\n- name: a\n  im@", "components/- ?im"),
            (
                "components:\n- name: a\n- files:\n  - source: f@",
                "components/-/files/-/source =f",
            ),
            (
                "components:\n  - name: a\n    files:\n      - { source: f@",
                "components/-/files/-/source =f",
            ),
            ("a:\n  b: 1\n\n# c\n@", " ?"),
            ("a: [x\nb:\n  c@", "b ?c"),
            ("é: 'ü@", "é =ü"),
            ("'a b':\n  c@", "a b ?c"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(at("a: 1 # c@"), None);
        assert_eq!(at("a:\n  run: |\n    ec@"), None);
    }

    #[test]
    fn no_text_at_any_position_panics() {
        let text = "tasks: {a: [\"x', é}\n - - ]: |\n\t'\n  b:\n'\":\n{[}\n- &a *b\n";
        for line in 0..9 {
            for column in 0..25 {
                let _ = context(text, line, column);
            }
            let _ = siblings(text, line);
        }
        let _ = keys_below(text, &["tasks"]);
    }

    #[test]
    fn keys_beside_and_below_are_found() {
        let text =
            "tasks:\n  a:\n    run: [x]\n    \n    inputs: []\n  b:\n    sign: {}\nname: x\n";
        let keys = |text, line| siblings(text, line).into_iter().map(|(key, _)| key);
        let keys = |text, line| keys(text, line).collect::<Vec<_>>();
        assert_eq!(keys(text, 3), ["run", "inputs"]);
        let names = keys_below(text, &["tasks"]);
        assert_eq!(names, [("a".to_owned(), 1), ("b".to_owned(), 5)]);
        let list = "components:\n- name: a\n  \n  images: []\n- name: b\n";
        assert_eq!(keys(list, 2), ["name", "images"]);
    }
}
