//! Matrices: axes, `include` and `exclude`, the names of their instances, and
//! the selectors that pick some of them.
//!
//! Combinations follow GitHub Actions. Their order depends on the file alone. It never
//! evaluates an expression.

use std::collections::BTreeMap;

/// Maximum number of instances of one task: more is nearly always a mistake, and
/// would slow down every plan.
pub const MAX_INSTANCES: usize = 1000;

/// One instance's values, sorted by axis so that its name is canonical.
pub type Row = BTreeMap<String, String>;

/// A matrix as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    /// Axes and their values, in file order.
    pub axes: Vec<(String, Vec<String>)>,
    /// Rows that extend matching combinations, or else are instances of their own.
    pub include: Vec<Row>,
    /// Partial rows; a combination that agrees with all of one is dropped.
    pub exclude: Vec<Row>,
}

/// Why a matrix or a selector is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// Too many instances.
    #[error("the matrix has more than {MAX_INSTANCES} instances: remove values, or split the task")]
    TooMany,
    /// No instance is left.
    #[error("the matrix has no instances: give each axis a value, or exclude fewer")]
    Empty,
    /// Two instances are equal.
    #[error("the matrix has the instance `{0}` twice: remove the repeated value or row")]
    Repeated(String),
    /// An axis, value or task name holds a character that selectors use.
    #[error("`{0}` cannot be used in a matrix: use at least one character, and none of [ ] , =")]
    Name(String),
    /// An exclude names an axis that does not exist.
    #[error("`exclude` names the axis `{0}`, which does not exist")]
    UnknownAxis(String),
    /// A selector does not parse.
    #[error("`{0}` is not a task selector: write task or task[axis=value,axis=value]")]
    Selector(String),
}

/// Whether a text can be part of an instance name.
fn plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(['[', ']', ',', '=']) && !text.chars().any(char::is_control)
}

impl Matrix {
    /// The instances, in order: combinations, in which the first axis changes last, then
    /// the include rows that extend none.
    pub fn rows(&self) -> Result<Vec<Row>, MatrixError> {
        self.check_names()?;
        let mut count = usize::from(!self.axes.is_empty());
        for (_, values) in &self.axes {
            count = count.saturating_mul(values.len());
        }
        if count > MAX_INSTANCES {
            return Err(MatrixError::TooMany);
        }
        let mut rows: Vec<Row> = Vec::new();
        if count > 0 {
            rows.push(Row::new());
            for (axis, values) in &self.axes {
                rows = rows
                    .iter()
                    .flat_map(|row| {
                        values.iter().map(|value| {
                            let mut row = row.clone();
                            row.insert(axis.clone(), value.clone());
                            row
                        })
                    })
                    .collect();
            }
        }
        rows.retain(|row| {
            !self
                .exclude
                .iter()
                .any(|out| out.iter().all(|(k, v)| row.get(k) == Some(v)))
        });
        self.add_includes(&mut rows)?;
        if rows.is_empty() {
            return Err(MatrixError::Empty);
        }
        let mut seen = std::collections::BTreeSet::new();
        for row in &rows {
            if !seen.insert(row) {
                return Err(MatrixError::Repeated(instance_name("", row)));
            }
        }
        Ok(rows)
    }

    fn add_includes(&self, rows: &mut Vec<Row>) -> Result<(), MatrixError> {
        let axes: Vec<&String> = self.axes.iter().map(|(axis, _)| axis).collect();
        let combined = rows.len();
        for extra in &self.include {
            let mut used = false;
            for row in rows.iter_mut().take(combined) {
                // Only axes of the matrix itself decide: added keys may be overwritten.
                let fits = axes
                    .iter()
                    .all(|axis| extra.get(*axis).is_none_or(|v| row.get(*axis) == Some(v)));
                if fits {
                    used = true;
                    row.extend(extra.iter().map(|(k, v)| (k.clone(), v.clone())));
                }
            }
            if !used {
                rows.push(extra.clone());
            }
            if rows.len() > MAX_INSTANCES {
                return Err(MatrixError::TooMany);
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), MatrixError> {
        let axes = self
            .axes
            .iter()
            .flat_map(|(axis, values)| std::iter::once(axis).chain(values));
        let rows = self.include.iter().chain(&self.exclude);
        let mut all = axes.chain(rows.flat_map(|row| row.iter().flat_map(|(k, v)| [k, v])));
        if let Some(bad) = all.find(|text| !plain(text)) {
            return Err(MatrixError::Name(bad.clone()));
        }
        for axis in self.exclude.iter().flat_map(BTreeMap::keys) {
            if !self.axes.iter().any(|(known, _)| known == axis) {
                return Err(MatrixError::UnknownAxis(axis.clone()));
            }
        }
        Ok(())
    }
}

/// The name of one instance: `task`, or `task[arch=arm64,os=linux]` with axes sorted.
pub fn instance_name(task: &str, row: &Row) -> String {
    if row.is_empty() {
        return task.to_owned();
    }
    let pairs: Vec<String> = row.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("{task}[{}]", pairs.join(","))
}

/// A reference to some instances of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The task's name.
    pub task: String,
    /// Values that an instance must have; empty means every instance.
    pub filter: Row,
}

impl Selector {
    /// Parses `images` or `images[arch=arm64]`.
    pub fn parse(text: &str) -> Result<Self, MatrixError> {
        let bad = || MatrixError::Selector(text.to_owned());
        let (task, inner) = match text.split_once('[') {
            None => (text, None),
            Some((task, tail)) => (task, Some(tail.strip_suffix(']').ok_or_else(bad)?)),
        };
        if !plain(task) {
            return Err(bad());
        }
        let mut filter = Row::new();
        for pair in inner.into_iter().flat_map(|inner| inner.split(',')) {
            let (axis, value) = pair.split_once('=').ok_or_else(bad)?;
            let (axis, value) = (axis.trim(), value.trim());
            if !plain(axis) || !plain(value) {
                return Err(bad());
            }
            if filter.insert(axis.to_owned(), value.to_owned()).is_some() {
                return Err(bad());
            }
        }
        Ok(Self {
            task: task.to_owned(),
            filter,
        })
    }

    /// Whether it selects an instance with these values.
    pub fn selects(&self, row: &Row) -> bool {
        self.filter.iter().all(|(k, v)| row.get(k) == Some(v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pairs: &[(&str, &str)]) -> Row {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn two_by_two() -> Matrix {
        let axis = |n: &str, v: [&str; 2]| (n.to_owned(), v.map(str::to_owned).to_vec());
        Matrix {
            axes: vec![
                axis("os", ["linux", "darwin"]),
                axis("arch", ["amd64", "arm64"]),
            ],
            ..Matrix::default()
        }
    }

    #[test]
    fn combinations_come_in_file_order_with_sorted_names() {
        let names: Vec<_> = two_by_two()
            .rows()
            .unwrap()
            .iter()
            .map(|r| instance_name("t", r))
            .collect();
        assert_eq!(
            names,
            [
                "t[arch=amd64,os=linux]",
                "t[arch=arm64,os=linux]",
                "t[arch=amd64,os=darwin]",
                "t[arch=arm64,os=darwin]"
            ]
        );
    }

    #[test]
    fn exclude_drops_and_include_extends_or_stands_alone() {
        let mut m = two_by_two();
        m.exclude.push(row(&[("os", "darwin"), ("arch", "amd64")]));
        m.include.push(row(&[("os", "linux"), ("libc", "musl")]));
        m.include.push(row(&[("os", "plan9")]));
        let rows = m.rows().unwrap();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[0]["libc"], "musl");
        assert!(!rows[2].contains_key("libc"));
        assert_eq!(rows[3], row(&[("os", "plan9")]));
    }

    #[test]
    fn include_without_axes_makes_one_instance_per_row() {
        let m = Matrix {
            include: vec![row(&[("a", "1")]), row(&[("a", "2")])],
            ..Matrix::default()
        };
        assert_eq!(m.rows().unwrap().len(), 2);
    }

    #[test]
    fn too_many_none_and_repeated_instances_are_refused() {
        let wide: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let m = Matrix {
            axes: (0..9).map(|n| (format!("a{n}"), wide.clone())).collect(),
            ..Matrix::default()
        };
        assert_eq!(m.rows(), Err(MatrixError::TooMany));
        assert_eq!(Matrix::default().rows(), Err(MatrixError::Empty));
        let m = Matrix {
            axes: vec![("a".into(), vec!["x".into(), "x".into()])],
            ..Matrix::default()
        };
        assert_eq!(m.rows(), Err(MatrixError::Repeated("[a=x]".into())));
    }

    #[test]
    fn a_selector_picks_by_any_of_the_axes() {
        let s = Selector::parse("images[arch=arm64]").unwrap();
        assert!(s.selects(&row(&[("arch", "arm64"), ("os", "linux")])));
        assert!(!s.selects(&row(&[("arch", "amd64")])));
        assert!(Selector::parse("images").unwrap().selects(&Row::new()));
        for bad in [
            "",
            "a[",
            "a[]",
            "a[b]",
            "a[b=]",
            "a[b=c",
            "a[b=c,b=d]",
            "a]",
        ] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }
}
