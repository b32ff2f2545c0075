use certosa_model::ToolName;
use certosa_syscall::tools::{self, Hints};
use serde::{Deserialize, Serialize};

/// A tool as its bundle listed it, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    pub name: String,
    pub title: Option<String>,
    pub description: String,
    /// JSON Schema as text, as the bundle wrote it.
    pub input_schema: String,
    pub output_schema: Option<String>,
    /// The author's promises; trusted by nobody.
    pub read_only: bool,
    pub destructive: bool,
    pub idempotent: bool,
    pub open_world: bool,
}

const TOOLS_MAX: usize = 1_000;
const DESCRIPTION_BYTES_MAX: usize = 16 << 10;
const SCHEMA_BYTES_MAX: usize = 256 << 10;

impl Tool {
    /// Checks what a bundle listed, and says everything that is wrong with it.
    pub fn check_all(listed: Vec<tools::Tool>) -> Result<Vec<Self>, Vec<String>> {
        let mut wrong = Vec::new();
        if listed.len() > TOOLS_MAX {
            wrong.push(format!("{} tools, where at most {TOOLS_MAX} are allowed", listed.len()));
        }
        let mut names = std::collections::HashSet::new();
        for tool in &listed {
            let name = &tool.name;
            if let Err(why) = ToolName::new(name) {
                wrong.push(format!("a tool is called {name:?}; a name has {why}"));
            } else if !names.insert(name.as_str()) {
                wrong.push(format!("two tools are called {name:?}"));
            }
            if tool.description.len() > DESCRIPTION_BYTES_MAX {
                wrong.push(format!("the description of {name:?} is longer than {DESCRIPTION_BYTES_MAX} bytes"));
            }
            let schemas = [("input", Some(&tool.input_schema)), ("output", tool.output_schema.as_ref())];
            for (kind, schema) in schemas.into_iter().filter_map(|(kind, schema)| Some((kind, schema?))) {
                if schema.len() > SCHEMA_BYTES_MAX {
                    wrong.push(format!("the {kind} schema of {name:?} is longer than {SCHEMA_BYTES_MAX} bytes"));
                } else if let Err(why) = crate::Schema::of_object(schema) {
                    wrong.push(format!("the {kind} schema of {name:?} {why}"));
                }
            }
        }
        if wrong.is_empty() { Ok(listed.into_iter().map(Self::of).collect()) } else { Err(wrong) }
    }

    fn of(tool: tools::Tool) -> Self {
        Self {
            name: tool.name,
            title: tool.title,
            description: tool.description,
            input_schema: tool.input_schema,
            output_schema: tool.output_schema,
            read_only: tool.hints.contains(Hints::READ_ONLY),
            destructive: tool.hints.contains(Hints::DESTRUCTIVE),
            idempotent: tool.hints.contains(Hints::IDEMPOTENT),
            open_world: tool.hints.contains(Hints::OPEN_WORLD),
        }
    }
}
