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
/// So many things that are wrong are told; with so many wrong with its tools, the rest is not looked at any more.
const WRONG_MAX: usize = 20;
/// Of what a bundle says, so many characters are repeated.
const QUOTED_MAX: usize = 100;
/// There are two roles.
const AUDIENCE_MAX: usize = 2;

impl Offer {
    /// Checks what a bundle listed, and says what is wrong with it. Its schemas may take so many bytes of the house when
    /// they are compiled.
    pub fn check(listed: guest::Offer, schemas_bytes_max: usize) -> Result<Self, Vec<String>> {
        let mut check = Check { schemas_bytes_max, wrong: Vec::new() };
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

struct Check {
    schemas_bytes_max: usize,
    wrong: Vec<String>,
}

impl Check {
    fn refuse(&mut self, why: String) {
        if self.wrong.len() < WRONG_MAX {
            self.wrong.push(why);
        }
    }

    fn count(&mut self, what: &str, found: usize, max: usize) {
        if found > max {
            self.refuse(format!("{found} {what}, where at most {max} are allowed"));
        }
    }

    fn name<'n>(&mut self, what: &str, name: &'n str, taken: &mut HashSet<&'n str>) {
        if let Err(why) = ToolName::new(name) {
            self.refuse(format!("a {what} is called {}; a name has {why}", quoted(name)));
        } else if !taken.insert(name) {
            self.refuse(format!("two {what}s are called {}", quoted(name)));
        }
    }

    fn text(&mut self, what: &str, whose: &str, text: Option<&String>) {
        if text.is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            self.refuse(format!("the {what} of {} is longer than {TEXT_BYTES_MAX} bytes", quoted(whose)));
        }
    }

    fn tools(&mut self, tools: &[guest::Tool]) {
        self.count("tools", tools.len(), ITEMS_MAX);
        let mut taken = HashSet::new();
        let (mut patterns, mut states, mut bytes) = (0, 0, 0);
        for tool in tools {
            let name = &tool.name;
            self.name("tool", name, &mut taken);
            self.text("title", name, tool.title.as_ref());
            self.text("description", name, Some(&tool.description));
            let schemas = [("input", Some(&tool.input_schema)), ("output", tool.output_schema.as_ref())];
            for (kind, schema) in schemas.into_iter().filter_map(|(kind, schema)| Some((kind, schema?))) {
                if schema.len() > SCHEMA_BYTES_MAX {
                    let name = quoted(name);
                    self.refuse(format!("the {kind} schema of {name} is longer than {SCHEMA_BYTES_MAX} bytes"));
                    continue;
                }
                match Schema::of_object(schema) {
                    Ok(schema) => {
                        patterns += schema.patterns;
                        states += schema.states;
                        bytes += schema.bytes;
                    }
                    Err(why) => self.refuse(format!("the {kind} schema of {} {why}", quoted(name))),
                }
            }
            // Before it takes any longer.
            if self.wrong.len() >= WRONG_MAX {
                return;
            }
            if bytes > self.schemas_bytes_max {
                let most = self.schemas_bytes_max >> 20;
                return self
                    .refuse(format!("the schemas take more than {most} MiB of the house when they are compiled"));
            }
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
            self.text("title", &prompt.name, prompt.title.as_ref());
            self.text("description", &prompt.name, prompt.description.as_ref());
            let of = quoted(&prompt.name);
            self.count(&format!("arguments of {of}"), prompt.arguments.len(), ARGUMENTS_MAX);
            let mut names = HashSet::new();
            for argument in &prompt.arguments {
                if argument.name.is_empty() || argument.name.len() > 64 || !names.insert(&argument.name) {
                    let expected = "arguments have distinct names of 1 to 64 bytes";
                    self.refuse(format!("{of} has an argument {}; {expected}", quoted(&argument.name)));
                }
                self.text("title", &argument.name, argument.title.as_ref());
                self.text("description", &argument.name, argument.description.as_ref());
            }
        }
    }

    fn resources(&mut self, resources: &[guest::Resource], templates: &[guest::ResourceTemplate]) {
        self.count("resources", resources.len(), ITEMS_MAX);
        self.count("templates of resources", templates.len(), ITEMS_MAX);
        let (mut taken, mut addresses) = (HashSet::new(), HashSet::new());
        for resource in resources {
            self.name("resource", &resource.name, &mut taken);
            self.text("title", &resource.name, resource.title.as_ref());
            self.text("description", &resource.name, resource.description.as_ref());
            self.text("media type", &resource.name, resource.mime_type.as_ref());
            self.annotations(&resource.name, &resource.annotations);
            if !uri::is_absolute(&resource.uri) {
                let (uri, most) = (quoted(&resource.uri), uri::BYTES_MAX);
                self.refuse(format!("{uri} is no absolute URI of at most {most} bytes"));
            } else if !addresses.insert(&resource.uri) {
                self.refuse(format!("two resources have the address {}", quoted(&resource.uri)));
            }
        }
        for template in templates {
            self.name("resource", &template.name, &mut taken);
            self.text("title", &template.name, template.title.as_ref());
            self.text("description", &template.name, template.description.as_ref());
            self.text("media type", &template.name, template.mime_type.as_ref());
            self.annotations(&template.name, &template.annotations);
            if let Err(why) = Template::new(&template.uri_template) {
                self.refuse(format!("{} {why}", quoted(&template.uri_template)));
            } else if !addresses.insert(&template.uri_template) {
                self.refuse(format!("two templates are {}", quoted(&template.uri_template)));
            }
        }
    }

    fn annotations(&mut self, whose: &str, annotations: &guest::Annotations) {
        if annotations.priority.is_some_and(|priority| !(0.0..=1.0).contains(&priority)) {
            self.refuse(format!("the priority of {} is not between 0 and 1", quoted(whose)));
        }
        let time = annotations.last_modified.as_deref();
        if time.is_some_and(|time| time.parse::<jiff::Timestamp>().is_err()) {
            self.refuse(format!("the time at which {} was modified is not one of RFC 3339", quoted(whose)));
        }
        if annotations.audience.len() > AUDIENCE_MAX {
            self.refuse(format!("{} is for more than {AUDIENCE_MAX} roles", quoted(whose)));
        }
    }
}

/// What a bundle says may be megabytes, and stand in many complaints.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
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
    use std::time::{Duration, Instant};

    use serde_json::{Map, Value, json};

    use super::*;

    const ROOM: usize = 64 << 20;

    /// So many tools that take arguments of such a schema.
    fn offer(tools: usize, schema: impl Fn(usize) -> Value) -> guest::Offer {
        let tool = |number: usize| guest::Tool {
            name: format!("t{number}"),
            title: None,
            description: String::new(),
            input_schema: schema(number).to_string(),
            output_schema: None,
            hints: Hints::empty(),
        };
        guest::Offer { tools: (0..tools).map(tool).collect(), ..guest::Offer::default() }
    }

    #[test]
    fn regular_expressions_of_a_bundle_are_bounded() {
        let patterns = |tool| {
            let patterns: Vec<_> = (0..100).map(|n| json!({ "pattern": format!("^a{tool}-{n}$") })).collect();
            json!({"type": "object", "prefixItems": patterns})
        };
        assert!(Offer::check(offer(10, patterns), ROOM).is_ok());
        let wrong = Offer::check(offer(11, patterns), ROOM).unwrap_err();
        assert!(wrong[0].contains("more than 1000 regular expressions"), "{wrong:?}");
    }

    /// A schema of one object in another.
    fn nested(levels: usize, inside: impl Fn(Value) -> Value, beside: &Value) -> Value {
        let mut schema = (0..levels).fold(json!({}), |schema, _| inside(schema));
        schema["type"] = json!("object");
        schema.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        schema
    }

    /// What the library keeps of each of these takes megabytes, and bundles may have a thousand tools.
    #[test]
    fn what_the_schemas_of_a_bundle_take_is_bounded() {
        let twice = |n: usize| json!({"allOf": vec![json!({"$ref": format!("#/$defs/r{n}")}); 2]});
        let unfolded = || {
            let mut schema = json!({"type": "object", "unevaluatedProperties": false, "$defs": {"r10": {}}});
            (0..10).for_each(|n| schema["$defs"][format!("r{n}")] = twice(n + 1));
            schema["$ref"] = json!("#/$defs/r0");
            schema
        };
        let negated = || nested(120, |schema| json!({ "not": schema }), &json!({}));
        let long = "n".repeat(1_000);
        let named = || nested(50, |schema| json!({"properties": {long.clone(): schema}}), &json!({}));
        let many = || json!({"type": "object", "allOf": vec![json!({}); 5_000]});
        let texts = || json!({"type": "object", "required": (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>()});
        let schemas: [&dyn Fn() -> Value; 5] = [&unfolded, &negated, &named, &many, &texts];
        for schema in schemas {
            assert!(Offer::check(offer(1, |_| schema()), ROOM).is_ok(), "{}", schema());
            let started = Instant::now();
            let wrong = Offer::check(offer(1_000, |_| schema()), ROOM).unwrap_err();
            assert!(wrong[0].contains("the schemas take more than 64 MiB"), "{wrong:?}");
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        }
        // What honest bundles have is far from that.
        let plain = |_| json!({"type": "object", "properties": (0..30).map(|n| (format!("name{n}"), json!({"type": "string"}))).collect::<Map<_, _>>()});
        assert!(Offer::check(offer(1_000, plain), ROOM).is_ok());
    }

    #[test]
    fn what_is_wrong_ends_somewhere() {
        let large = |_| json!({"type": "object", "properties": {"a": {"pattern": "\\p{L}{1000}"}}});
        assert_eq!(Offer::check(offer(1_000, large), ROOM).unwrap_err().len(), WRONG_MAX);
    }

    #[test]
    fn a_long_name_is_not_repeated_for_each_of_its_arguments() {
        let argument = guest::PromptArgument { name: String::new(), title: None, description: None, required: false };
        let name = "p".repeat(2 << 20);
        let prompt = guest::Prompt { name, title: None, description: None, arguments: vec![argument; 20_000] };
        let listed = guest::Offer { prompts: vec![prompt], ..guest::Offer::default() };
        let wrong = Offer::check(listed, ROOM).unwrap_err();
        assert_eq!(wrong.len(), WRONG_MAX);
        assert!(wrong.iter().all(|why| why.len() < 500), "{wrong:?}");
    }
}
