//! The graph of tasks and their dependencies.
//!
//! Built from task names and edges, and used by the scheduler. It has no cycles, and
//! knows nothing about what a task does. Results are ordered by name, never by hash.

mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

/// An acyclic graph of tasks; edges lead from dependencies to dependents.
#[derive(Clone, Debug)]
pub struct Graph<N> {
    /// Acyclic; node indices are in the order of the names.
    dag: DiGraph<N, ()>,
    places: BTreeMap<N, NodeIndex>,
    /// Topological order: every node comes after its dependencies.
    order: Vec<NodeIndex>,
}

/// Why tasks and edges are not a valid graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two tasks have the same name.
    #[error("task `{0}` is defined twice")]
    Duplicate(String),
    /// An edge names a task that does not exist.
    #[error("unknown task `{task}`{}", dependant(.by.as_deref()))]
    Unknown {
        /// The name that was not found.
        task: String,
        /// The task that depends on it, if any.
        by: Option<String>,
    },
    /// Tasks depend on each other in a cycle.
    #[error("dependency cycle: {}", .path.join(" -> "))]
    Cycle {
        /// Each task depends on the next; the first and last are the same.
        path: Vec<String>,
    },
}

fn dependant(by: Option<&str>) -> String {
    by.map_or_else(String::new, |by| format!(" in the dependencies of `{by}`"))
}

impl<N: Ord + Clone + Display> Graph<N> {
    /// Builds the graph from `tasks` and `edges` of (task, its dependency).
    ///
    /// # Errors
    ///
    /// [`GraphError`]: a duplicate name, an edge to an unknown task, or a cycle.
    pub fn build(
        tasks: impl IntoIterator<Item = N>,
        edges: impl IntoIterator<Item = (N, N)>,
    ) -> Result<Self, GraphError> {
        let mut names = BTreeSet::new();
        for task in tasks {
            if !names.insert(task.clone()) {
                return Err(GraphError::Duplicate(task.to_string()));
            }
        }
        let mut dag = DiGraph::new();
        let places: BTreeMap<N, NodeIndex> = names
            .into_iter()
            .map(|name| (name.clone(), dag.add_node(name)))
            .collect();
        let edges: BTreeSet<(N, N)> = edges.into_iter().collect();
        for (task, dependency) in edges {
            let to = *places.get(&task).ok_or_else(|| unknown(&task, None))?;
            let from = places
                .get(&dependency)
                .ok_or_else(|| unknown(&dependency, Some(&task)))?;
            dag.add_edge(*from, to, ());
        }
        let order = ordered(&dag)?;
        Ok(Self { dag, places, order })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.dag.node_count()
    }

    /// Whether it has no tasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All tasks in topological order.
    pub fn tasks(&self) -> impl Iterator<Item = &N> {
        self.order.iter().map(|place| &self.dag[*place])
    }

    /// The dependencies of `task`, by name; empty for an unknown task.
    #[must_use]
    pub fn dependencies(&self, task: &N) -> Vec<&N> {
        self.neighbors(task, Direction::Incoming)
    }

    /// The dependents of `task`, by name; empty for an unknown task.
    #[must_use]
    pub fn dependants(&self, task: &N) -> Vec<&N> {
        self.neighbors(task, Direction::Outgoing)
    }

    fn neighbors(&self, task: &N, direction: Direction) -> Vec<&N> {
        let places = self.places.get(task).into_iter();
        let mut found: Vec<&N> = places
            .flat_map(|place| self.dag.neighbors_directed(*place, direction))
            .map(|place| &self.dag[place])
            .collect();
        found.sort_unstable();
        found
    }

    /// For each task, the cost of the longest path from its start to the end of the run.
    ///
    /// `cost` is a task's expected time in any one unit; sums stop at [`u64::MAX`].
    #[must_use]
    pub fn critical_path(&self, cost: impl Fn(&N) -> u64) -> BTreeMap<N, u64> {
        let weights = self.weights(cost);
        let weight = |(task, place): (&N, &NodeIndex)| (task.clone(), weights[place.index()]);
        self.places.iter().map(weight).collect()
    }

    /// The tasks that cost the most one after the other, and what they cost together.
    /// Those at the end that cost nothing are left out.
    #[must_use]
    pub fn longest_path(&self, cost: impl Fn(&N) -> u64) -> (u64, Vec<&N>) {
        let weights = self.weights(cost);
        let whole = weights.iter().copied().max().unwrap_or(0);
        let (mut path, mut rest) = (Vec::new(), whole);
        let mut last: Option<NodeIndex> = None;
        // Of equal paths this takes the one that begins first.
        for place in self.order.iter().copied() {
            let follows = last.is_none_or(|last| self.dag.contains_edge(last, place));
            if rest > 0 && weights[place.index()] == rest && follows {
                path.push(&self.dag[place]);
                rest = self.heaviest_after(place, &weights);
                last = Some(place);
            }
        }
        (whole, path)
    }

    /// For each place, the cost of the longest path from its start to the end.
    fn weights(&self, cost: impl Fn(&N) -> u64) -> Vec<u64> {
        let mut weights = vec![0u64; self.len()];
        for place in self.order.iter().copied().rev() {
            let after = self.heaviest_after(place, &weights);
            weights[place.index()] = after.saturating_add(cost(&self.dag[place]));
        }
        weights
    }

    fn heaviest_after(&self, place: NodeIndex, weights: &[u64]) -> u64 {
        let after = self.dag.neighbors(place).map(|next| weights[next.index()]);
        after.max().unwrap_or(0)
    }
}

fn unknown<N: Display>(task: &N, by: Option<&N>) -> GraphError {
    GraphError::Unknown {
        task: task.to_string(),
        by: by.map(ToString::to_string),
    }
}

/// Kahn's algorithm, with the lowest free name first; or the cycle that prevents an
/// order.
fn ordered<N: Display>(dag: &DiGraph<N, ()>) -> Result<Vec<NodeIndex>, GraphError> {
    let incoming = |place| dag.neighbors_directed(place, Direction::Incoming);
    let mut waits: Vec<usize> = dag.node_indices().map(|p| incoming(p).count()).collect();
    let mut free: BTreeSet<NodeIndex> = dag
        .node_indices()
        .filter(|place| waits[place.index()] == 0)
        .collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(place) = free.pop_first() {
        order.push(place);
        for next in dag.neighbors(place) {
            waits[next.index()] -= 1;
            if waits[next.index()] == 0 {
                free.insert(next);
            }
        }
    }
    let stuck = |place: &NodeIndex| waits[place.index()] > 0;
    // Every stuck node depends on a stuck node, so the walk must return to itself.
    let mut walk: Vec<NodeIndex> = Vec::new();
    let mut met = BTreeMap::new();
    let mut at = dag.node_indices().find(stuck);
    while let Some(place) = at {
        if let Some(start) = met.insert(place, walk.len()) {
            walk.push(place);
            let path = walk[start..].iter().map(|p| dag[*p].to_string()).collect();
            return Err(GraphError::Cycle { path });
        }
        walk.push(place);
        at = incoming(place).filter(stuck).min();
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diamond() -> Graph<&'static str> {
        let edges = [("b", "a"), ("c", "a"), ("d", "b"), ("d", "c")];
        Graph::build(["d", "c", "b", "a"], edges).unwrap()
    }

    #[test]
    fn tasks_come_after_their_dependencies_and_by_name() {
        let graph = diamond();
        assert_eq!(
            graph.tasks().copied().collect::<Vec<_>>(),
            ["a", "b", "c", "d"]
        );
        assert_eq!(graph.dependencies(&"d"), [&"b", &"c"]);
        assert_eq!(graph.dependants(&"a"), [&"b", &"c"]);
    }

    #[test]
    fn a_cycle_is_refused_with_its_path() {
        let edges = [("a", "b"), ("b", "c"), ("c", "b"), ("d", "a")];
        let error = Graph::build(["a", "b", "c", "d"], edges).unwrap_err();
        let message = "dependency cycle: b -> c -> b";
        assert_eq!(error.to_string(), message);
        let alone = Graph::build(["a"], [("a", "a")]).unwrap_err();
        assert!(matches!(alone, GraphError::Cycle { path } if path == ["a", "a"]));
    }

    #[test]
    fn duplicate_names_and_edges_to_unknown_tasks_are_refused() {
        assert!(matches!(
            Graph::build(["a", "a"], []),
            Err(GraphError::Duplicate(_))
        ));
        let error = Graph::build(["a"], [("a", "x")]).unwrap_err();
        assert!(error.to_string().contains("`x` in the dependencies of `a`"));
    }

    #[test]
    fn the_critical_path_weighs_the_longest_way_to_the_end() {
        let weights = diamond().critical_path(|task| if *task == "c" { 5 } else { 1 });
        let expected = [("a", 7), ("b", 2), ("c", 6), ("d", 1)];
        assert_eq!(weights, BTreeMap::from(expected));
    }

    #[test]
    fn the_longest_path_names_its_tasks_in_their_order() {
        let graph = diamond();
        let longest = |costs: [u64; 4]| {
            let at = |task: &str| ["a", "b", "c", "d"].iter().position(|one| *one == task);
            let (cost, path) = graph.longest_path(|task| at(task).map_or(0, |at| costs[at]));
            (cost, path.into_iter().copied().collect::<String>())
        };
        assert_eq!(longest([1, 1, 5, 1]), (7, "acd".to_owned()));
        assert_eq!(longest([1, 1, 1, 1]), (3, "abd".to_owned()));
        // One that costs nothing more, but that others wait for.
        assert_eq!(longest([0, 0, 2, 1]), (3, "acd".to_owned()));
        assert_eq!(longest([1, 0, 0, 0]), (1, "a".to_owned()));
        assert_eq!(longest([0; 4]), (0, String::new()));
        assert_eq!(longest([1, u64::MAX, 1, 1]), (u64::MAX, "abd".to_owned()));
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_tasks_needs_no_stack() {
        let graph = Graph::build(0..100_000, (1..100_000).map(|n| (n, n - 1))).unwrap();
        assert_eq!(graph.critical_path(|_| 1)[&0], 100_000);
    }
}
