//! A graph as text: for Graphviz, for Mermaid, and as JSON.
//!
//! Arrows lead from dependencies to dependents. Equal graphs give equal text.

use std::fmt::{Display, Write as _};

use serde_json::{Value, json};

use super::Graph;

impl<N: Ord + Clone + Display> Graph<N> {
    /// Renders the graph in Graphviz's language.
    #[must_use]
    pub fn render_dot(&self) -> String {
        let quoted = |name: &N| {
            let escaped = name.to_string().replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"")
        };
        let mut text = String::from("digraph pipeline {\n");
        for task in self.places.keys() {
            put(&mut text, format_args!("  {};\n", quoted(task)));
        }
        for (from, to) in self.edges() {
            put(
                &mut text,
                format_args!("  {} -> {};\n", quoted(from), quoted(to)),
            );
        }
        text + "}\n"
    }

    /// Renders the graph as a Mermaid flowchart.
    #[must_use]
    pub fn render_mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for (task, place) in &self.places {
            let label = task
                .to_string()
                .replace('#', "#35;")
                .replace('"', "#quot;")
                .replace('\n', " ");
            put(
                &mut text,
                format_args!("  t{}[\"{label}\"]\n", place.index()),
            );
        }
        for (from, to) in self.edges() {
            let (from, to) = (self.places[from].index(), self.places[to].index());
            put(&mut text, format_args!("  t{from} --> t{to}\n"));
        }
        text
    }

    /// Renders the graph as JSON: `{"tasks": [{"id", "dependsOn"}]}`, tasks by name.
    #[must_use]
    pub fn render_json(&self) -> String {
        let names = |tasks: Vec<&N>| tasks.iter().map(ToString::to_string).collect::<Vec<_>>();
        let task = |task: &N| json!({ "id": task.to_string(), "dependsOn": names(self.dependencies(task)) });
        let tasks: Vec<Value> = self.places.keys().map(task).collect();
        format!("{:#}\n", json!({ "tasks": tasks }))
    }

    fn edges(&self) -> impl Iterator<Item = (&N, &N)> {
        self.places.keys().flat_map(|from| {
            let dependants = self.dependants(from).into_iter();
            dependants.map(move |to| (from, to))
        })
    }
}

/// Writing to a `String` cannot fail.
fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(line);
}

#[cfg(test)]
mod tests {
    use crate::graph::Graph;

    #[test]
    fn the_three_forms_are_fixed() {
        let graph = Graph::build(["a", "b"], [("b", "a")]).unwrap();
        let dot = "digraph pipeline {\n  \"a\";\n  \"b\";\n  \"a\" -> \"b\";\n}\n";
        assert_eq!(graph.render_dot(), dot);
        let mermaid = "flowchart LR\n  t0[\"a\"]\n  t1[\"b\"]\n  t0 --> t1\n";
        assert_eq!(graph.render_mermaid(), mermaid);
        let json: serde_json::Value = serde_json::from_str(&graph.render_json()).unwrap();
        assert_eq!(json["tasks"][1]["dependsOn"][0], "a");
    }

    #[test]
    fn names_with_quotes_stay_inside_their_quotes() {
        let graph = Graph::build(["a\"b\\"], []).unwrap();
        assert!(graph.render_dot().contains("\"a\\\"b\\\\\""));
        assert!(graph.render_mermaid().contains("[\"a#quot;b\\\"]"));
    }
}
