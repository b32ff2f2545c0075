//! Writing Certosa tools in Rust. A tool is an ordinary function with a doc comment:
//!
//! ```ignore
//! use certosa_sdk::tool;
//!
//! /// Greets someone.
//! #[tool(read_only)]
//! fn greet(
//!     /// Whom to greet.
//!     name: String,
//! ) -> String {
//!     format!("Hello, {name}!")
//! }
//!
//! certosa_sdk::bundle!(greet);
//! ```
//!
//! Prompts and resources are functions with `#[prompt]` and `#[resource(uri = "…")]`:
//!
//! ```ignore
//! /// Asks for a review of some code.
//! #[prompt]
//! fn review(/// The code.
//!     code: String) -> String {
//!     format!("Please review this code:\n\n{code}")
//! }
//!
//! /// The style guide.
//! #[resource(uri = "guide://style", mime_type = "text/markdown")]
//! fn style() -> &'static str {
//!     include_str!("style.md")
//! }
//!
//! certosa_sdk::bundle!(tools: [], prompts: [review], resources: [style]);
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2` as a `cdylib`: the result is a component that
//! a manifest can name. Arguments can be of any type that serde can read and schemars can describe; results
//! are whatever implements [`IntoOutcome`].

pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "full-bundle",
        pub_export_macro: true,
        default_bindings_module: "certosa_sdk::bindings",
        export_macro_name: "export_bundle",
    });
}

mod call;
mod offer;
mod outcome;
pub mod vault;

use schemars::Schema;
use schemars::transform::{RecursiveTransform, Transform as _};

pub use bindings::certosa::tools::changes::Lists;
pub use bindings::certosa::tools::log::Level;
pub use bindings::certosa::tools::types::{
    Annotations, Askable, Completing, Completion, Content, Form, GetOutcome, Hints, Media, Outcome,
    Prompt as PromptInfo, PromptArgument, PromptMessage, PromptResult, Question, QuestionKind, Questions, ReadOutcome,
    Refusal, Resource as ResourceInfo, ResourceBody, ResourceContents, ResourceLink, ResourceTemplate as TemplateInfo,
    Role, Tool as ToolInfo, ToolResult, Visit,
};
pub use call::Call;
pub use certosa_sdk_macros::{prompt, resource, tool};
#[doc(hidden)]
pub use offer::complete;
pub use offer::{IntoContents, IntoPrompt, Prompt, Readable, Resource};
pub use outcome::{IntoOutcome, Json};
pub use {schemars, serde, serde_json};

/// A tool. `#[tool]` implements it; by hand it serves tools with a schema of their own.
pub trait Tool {
    const NAME: &'static str;

    fn describe() -> ToolInfo;

    fn call(call: &Call) -> Result<Outcome, Refusal>;
}

/// What the component exports: `bundle!(a, b)` for tools alone, and
/// `bundle!(tools: [a, b], prompts: [c], resources: [d])` for everything.
#[macro_export]
macro_rules! bundle {
    (tools: [$($tool:path),* $(,)?], prompts: [$($prompt:path),* $(,)?], resources: [$($resource:path),* $(,)?] $(,)?) => {
        struct Bundle;

        impl $crate::bindings::exports::certosa::tools::tools::Guest for Bundle {
            fn list_tools() -> Result<Vec<$crate::ToolInfo>, $crate::Refusal> {
                Ok(vec![$(<$tool as $crate::Tool>::describe()),*])
            }

            fn call_tool(
                call: $crate::bindings::certosa::tools::types::Call,
            ) -> Result<$crate::Outcome, $crate::Refusal> {
                let call = $crate::Call::from(call);
                $(if call.name() == <$tool as $crate::Tool>::NAME {
                    return <$tool as $crate::Tool>::call(&call);
                })*
                Err($crate::Refusal::Unknown)
            }
        }

        impl $crate::bindings::exports::certosa::tools::prompts::Guest for Bundle {
            fn list_prompts() -> Result<Vec<$crate::PromptInfo>, $crate::Refusal> {
                Ok(vec![$(<$prompt as $crate::Prompt>::describe()),*])
            }

            fn get_prompt(
                get: $crate::bindings::certosa::tools::types::Get,
            ) -> Result<$crate::GetOutcome, $crate::Refusal> {
                let call = $crate::Call::from(get);
                $(if call.name() == <$prompt as $crate::Prompt>::NAME {
                    return <$prompt as $crate::Prompt>::get(&call);
                })*
                Err($crate::Refusal::Unknown)
            }

            fn complete(typing: $crate::Completing) -> Result<$crate::Completion, $crate::Refusal> {
                $(if typing.name == <$prompt as $crate::Prompt>::NAME {
                    return Ok($crate::complete(<$prompt as $crate::Prompt>::candidates(&typing), &typing.value));
                })*
                let _ = typing;
                Err($crate::Refusal::Unknown)
            }
        }

        impl $crate::bindings::exports::certosa::tools::resources::Guest for Bundle {
            fn list_resources() -> Result<
                $crate::bindings::exports::certosa::tools::resources::Readable,
                $crate::Refusal,
            > {
                #[allow(unused_mut, reason = "there may be none")]
                let (mut resources, mut templates) = (Vec::new(), Vec::new());
                let all: Vec<$crate::Readable> = vec![$(<$resource as $crate::Resource>::describe()),*];
                for readable in all {
                    match readable {
                        $crate::Readable::Resource(resource) => resources.push(resource),
                        $crate::Readable::Template(template) => templates.push(template),
                    }
                }
                Ok($crate::bindings::exports::certosa::tools::resources::Readable { resources, templates })
            }

            fn read_resource(
                read: $crate::bindings::certosa::tools::types::Read,
            ) -> Result<$crate::ReadOutcome, $crate::Refusal> {
                let call = $crate::Call::from(read);
                $(if call.name() == <$resource as $crate::Resource>::NAME {
                    return <$resource as $crate::Resource>::read(&call);
                })*
                Err($crate::Refusal::Unknown)
            }

            fn complete(typing: $crate::Completing) -> Result<$crate::Completion, $crate::Refusal> {
                $(if typing.name == <$resource as $crate::Resource>::NAME {
                    return Ok($crate::complete(<$resource as $crate::Resource>::candidates(&typing), &typing.value));
                })*
                let _ = typing;
                Err($crate::Refusal::Unknown)
            }
        }

        $crate::bindings::export_bundle!(Bundle with_types_in $crate::bindings);
    };
    ($($tool:path),* $(,)?) => {
        $crate::bundle!(tools: [$($tool),*], prompts: [], resources: []);
    };
}

/// The JSON Schema 2020-12 of `T`, as text.
pub fn schema_of<T: schemars::JsonSchema>() -> String {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
    // The name of a Rust type says nothing to a model.
    schema.remove("title");
    RecursiveTransform(remove_number_format).transform(&mut schema);
    serde_json::to_string(&schema).unwrap_or_default()
}

/// The name of a Rust type as the format of a number makes clients warn: JSON Schema has formats for texts alone
/// (2020-12 Validation, section 7.3). What it bounds stands beside it.
fn remove_number_format(schema: &mut Schema) {
    let is_numbers = |format: &str| ["int", "uint", "float", "double"].iter().any(|name| format.starts_with(name));
    if schema.get("format").and_then(serde_json::Value::as_str).is_some_and(is_numbers) {
        schema.remove("format");
    }
}
