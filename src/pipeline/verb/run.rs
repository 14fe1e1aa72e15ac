//! `run`: a command. Its value is the command line, so its other keys are beside it in
//! the task.

use serde_json::{Value as Json, json};

use crate::codes::Code;
use crate::pipeline::kinds::Text;
use crate::pipeline::reader::Reader;
use crate::pipeline::record::{
    Beside, Record, Rendered, Rendering, State, Written, below, described,
};
use crate::pipeline::render::Renderer;
use crate::yaml::{Fields, Node, Value};

/// Runs a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Run<S: State = Rendered> {
    /// Program and arguments; one script when `shell` is given.
    pub argv: S::Of<Vec<Text>>,
    /// The shell that runs the script.
    pub shell: Option<String>,
}

impl Record for Run<Written> {
    type Rendered = Run;
    const NAME: &'static str = "`run`";

    fn schema() -> Json {
        json!({
            "type": ["array", "string"],
            "items": {"type": "string"},
            "description": "Program and arguments. A string is a script, and requires `shell`.",
        })
    }

    fn beside() -> Vec<Beside> {
        let optional =
            json!({"type": "boolean", "description": "Whether the output may be missing."});
        let output = json!({
            "type": ["string", "object"],
            "properties": {
                "path": described(json!({"type": "string"}), "The path."),
                "optional": optional,
            },
            "required": ["path"],
            "additionalProperties": false,
        });
        let outputs = json!({"type": ["string", "array", "object"], "items": output});
        let shell = described(
            json!({"type": "string"}),
            "The shell that runs the script, such as: sh -e.",
        );
        let about = "Paths that the command writes. A trailing slash means a directory.";
        let key = |key, required, schema| Beside {
            key,
            required,
            schema,
        };
        vec![
            key("inputs", true, None),
            key("shell", false, Some(shell)),
            key("outputs", false, Some(described(outputs, about))),
        ]
    }

    fn of_task(node: &Node, task: &mut Fields<'_>, r: &mut Reader) -> Option<Self> {
        if task.node("inputs").is_none() {
            let help = "Add `inputs: []` if it reads no files.";
            r.coded(
                Code::MissingKey,
                node.span,
                "`inputs` is missing".to_owned(),
                help,
            );
        }
        let made = Self::read(task, r)?;
        if made.shell.is_none() && node.scalar().is_some() {
            let help = "Write a list of arguments, or add `shell:`.";
            r.at(node.span, "a script needs a shell", help);
        }
        Some(made)
    }

    fn read(f: &mut Fields<'_>, r: &mut Reader) -> Option<Self> {
        let node = f.node("run");
        let script = node.is_some_and(|node| node.scalar().is_some());
        let shell = f.string("shell", &mut r.mistakes);
        let argv = match node.filter(|node| matches!(node.value, Value::Mapping(_))) {
            Some(node) => {
                let message = format!("found a {}, expected a list of arguments", node.kind());
                r.coded(
                    Code::WrongType,
                    node.span,
                    message,
                    "Write `run: [make, app]`.",
                );
                Vec::new()
            }
            None => r.many(f, "run"),
        };
        Some(Self {
            argv,
            // A list needs no shell, even if the file has a default one.
            shell: shell.or_else(|| r.defaults.shell.clone().filter(|_| script)),
        })
    }

    fn unset() -> Run {
        Run {
            argv: Vec::new(),
            shell: None,
        }
    }

    fn render(&self, above: &str, by: &Renderer<'_>) -> Rendering<Run> {
        Ok(Run {
            argv: by.list(&below(above, "run"), &self.argv)?,
            shell: self.shell.clone(),
        })
    }
}
