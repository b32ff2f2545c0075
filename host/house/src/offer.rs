//! What a bundle offers, as it listed it and as the house checked it. This is also the form in which listings
//! are kept in the cache.

use std::collections::HashSet;

use certosa_model::ToolName;
use certosa_syscall::guest::{self, Hints, Role};
use serde::{Deserialize, Serialize};

use crate::schema::{STATES_MAX, Schema};
use crate::uri::{self, Template};

/// Everything that a bundle offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    pub tools: Vec<Tool>,
    pub prompts: Vec<Prompt>,
    pub resources: Vec<Resource>,
    pub templates: Vec<ResourceTemplate>,
}

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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    pub name: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub arguments: Vec<PromptArgument>,
}

/// Also as MCP writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptArgument {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub required: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    pub uri: String,
    pub name: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub mime_type: Option<String>,
    pub size: Option<u64>,
    pub annotations: Annotations,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceTemplate {
    pub uri_template: String,
    pub name: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub mime_type: Option<String>,
    pub annotations: Annotations,
}

/// Also as MCP writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotations {
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub audience: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

const ITEMS_MAX: usize = 1_000;
const ARGUMENTS_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Regular expressions in all schemas. Each may keep 64 KiB of what it has seen, for each thread.
const PATTERNS_MAX: usize = 1_000;
const SCHEMA_BYTES_MAX: usize = 256 << 10;

impl Offer {
    /// Checks what a bundle listed, and says everything that is wrong with it.
    pub fn check(listed: guest::Offer) -> Result<Self, Vec<String>> {
        let mut check = Check::default();
        check.tools(&listed.tools);
        check.prompts(&listed.prompts);
        check.resources(&listed.resources, &listed.templates);
        if !check.wrong.is_empty() {
            return Err(check.wrong);
        }
        Ok(Self {
            tools: listed.tools.into_iter().map(Tool::of).collect(),
            prompts: listed.prompts.into_iter().map(Prompt::of).collect(),
            resources: listed.resources.into_iter().map(Resource::of).collect(),
            templates: listed.templates.into_iter().map(ResourceTemplate::of).collect(),
        })
    }
}

#[derive(Default)]
struct Check {
    wrong: Vec<String>,
}

impl Check {
    fn refuse(&mut self, why: String) {
        self.wrong.push(why);
    }

    fn count(&mut self, what: &str, found: usize, max: usize) {
        if found > max {
            self.refuse(format!("{found} {what}, where at most {max} are allowed"));
        }
    }

    fn name<'n>(&mut self, what: &str, name: &'n str, taken: &mut HashSet<&'n str>) {
        if let Err(why) = ToolName::new(name) {
            self.refuse(format!("a {what} is called {name:?}; a name has {why}"));
        } else if !taken.insert(name) {
            self.refuse(format!("two {what}s are called {name:?}"));
        }
    }

    fn text(&mut self, whose: &str, text: &str) {
        if text.len() > TEXT_BYTES_MAX {
            self.refuse(format!("the description of {whose:?} is longer than {TEXT_BYTES_MAX} bytes"));
        }
    }

    fn tools(&mut self, tools: &[guest::Tool]) {
        self.count("tools", tools.len(), ITEMS_MAX);
        let mut taken = HashSet::new();
        let (mut patterns, mut states) = (0, 0);
        for tool in tools {
            let name = &tool.name;
            self.name("tool", name, &mut taken);
            self.text(name, &tool.description);
            let schemas = [("input", Some(&tool.input_schema)), ("output", tool.output_schema.as_ref())];
            for (kind, schema) in schemas.into_iter().filter_map(|(kind, schema)| Some((kind, schema?))) {
                if schema.len() > SCHEMA_BYTES_MAX {
                    self.refuse(format!("the {kind} schema of {name:?} is longer than {SCHEMA_BYTES_MAX} bytes"));
                    continue;
                }
                match Schema::of_object(schema) {
                    Ok(schema) => {
                        patterns += schema.patterns;
                        states += schema.states;
                    }
                    Err(why) => self.refuse(format!("the {kind} schema of {name:?} {why}")),
                }
            }
            // Before it takes any longer.
            if states > STATES_MAX || patterns > PATTERNS_MAX {
                return self.refuse(format!(
                    "the schemas have more than {PATTERNS_MAX} regular expressions, or {STATES_MAX} states of them"
                ));
            }
        }
    }

    fn prompts(&mut self, prompts: &[guest::Prompt]) {
        self.count("prompts", prompts.len(), ITEMS_MAX);
        let mut taken = HashSet::new();
        for prompt in prompts {
            self.name("prompt", &prompt.name, &mut taken);
            self.text(&prompt.name, prompt.description.as_deref().unwrap_or_default());
            self.count(&format!("arguments of {:?}", prompt.name), prompt.arguments.len(), ARGUMENTS_MAX);
            let mut names = HashSet::new();
            for argument in &prompt.arguments {
                if argument.name.is_empty() || argument.name.len() > 64 || !names.insert(&argument.name) {
                    let expected = "arguments have distinct names of 1 to 64 bytes";
                    self.refuse(format!("{:?} has an argument {:?}; {expected}", prompt.name, argument.name));
                }
                self.text(&argument.name, argument.description.as_deref().unwrap_or_default());
            }
        }
    }

    fn resources(&mut self, resources: &[guest::Resource], templates: &[guest::ResourceTemplate]) {
        self.count("resources", resources.len(), ITEMS_MAX);
        self.count("templates of resources", templates.len(), ITEMS_MAX);
        let (mut taken, mut addresses) = (HashSet::new(), HashSet::new());
        for resource in resources {
            self.name("resource", &resource.name, &mut taken);
            self.text(&resource.name, resource.description.as_deref().unwrap_or_default());
            self.annotations(&resource.name, &resource.annotations);
            if !uri::is_absolute(&resource.uri) {
                self.refuse(format!("{:?} is no absolute URI of at most {} bytes", resource.uri, uri::BYTES_MAX));
            } else if !addresses.insert(&resource.uri) {
                self.refuse(format!("two resources have the address {:?}", resource.uri));
            }
        }
        for template in templates {
            self.name("resource", &template.name, &mut taken);
            self.text(&template.name, template.description.as_deref().unwrap_or_default());
            self.annotations(&template.name, &template.annotations);
            if let Err(why) = Template::new(&template.uri_template) {
                self.refuse(format!("{:?} {why}", template.uri_template));
            } else if !addresses.insert(&template.uri_template) {
                self.refuse(format!("two templates are {:?}", template.uri_template));
            }
        }
    }

    fn annotations(&mut self, whose: &str, annotations: &guest::Annotations) {
        if annotations.priority.is_some_and(|priority| !(0.0..=1.0).contains(&priority)) {
            self.refuse(format!("the priority of {whose:?} is not between 0 and 1"));
        }
        let time = annotations.last_modified.as_deref();
        if time.is_some_and(|time| time.parse::<jiff::Timestamp>().is_err()) {
            self.refuse(format!("the time at which {whose:?} was modified is not one of RFC 3339"));
        }
    }
}

impl Tool {
    fn of(tool: guest::Tool) -> Self {
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

impl Prompt {
    fn of(prompt: guest::Prompt) -> Self {
        let argument = |argument: guest::PromptArgument| PromptArgument {
            name: argument.name,
            title: argument.title,
            description: argument.description,
            required: argument.required,
        };
        Self {
            name: prompt.name,
            title: prompt.title,
            description: prompt.description,
            arguments: prompt.arguments.into_iter().map(argument).collect(),
        }
    }
}

impl Resource {
    fn of(resource: guest::Resource) -> Self {
        Self {
            uri: resource.uri,
            name: resource.name,
            title: resource.title,
            description: resource.description,
            mime_type: resource.mime_type,
            size: resource.size,
            annotations: Annotations::of(resource.annotations),
        }
    }
}

impl ResourceTemplate {
    fn of(template: guest::ResourceTemplate) -> Self {
        Self {
            uri_template: template.uri_template,
            name: template.name,
            title: template.title,
            description: template.description,
            mime_type: template.mime_type,
            annotations: Annotations::of(template.annotations),
        }
    }
}

impl Annotations {
    fn of(annotations: guest::Annotations) -> Self {
        let role = |role: Role| role_name(role).to_owned();
        Self {
            audience: annotations.audience.into_iter().map(role).collect(),
            priority: annotations.priority,
            last_modified: annotations.last_modified,
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// As MCP writes it.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// So many tools, each with a hundred regular expressions.
    fn offer(tools: usize) -> guest::Offer {
        let tool = |number: usize| {
            let patterns: Vec<_> = (0..100).map(|n| json!({ "pattern": format!("^a{number}-{n}$") })).collect();
            guest::Tool {
                name: format!("t{number}"),
                title: None,
                description: String::new(),
                input_schema: json!({"type": "object", "prefixItems": patterns}).to_string(),
                output_schema: None,
                hints: Hints::empty(),
            }
        };
        guest::Offer { tools: (0..tools).map(tool).collect(), ..guest::Offer::default() }
    }

    #[test]
    fn regular_expressions_of_a_bundle_are_bounded() {
        assert!(Offer::check(offer(10)).is_ok());
        let wrong = Offer::check(offer(11)).unwrap_err();
        assert!(wrong[0].contains("more than 1000 regular expressions"), "{wrong:?}");
    }
}
