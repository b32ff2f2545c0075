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
//! Build it with `cargo build --release --target wasm32-wasip2` as a `cdylib`: the result is a component that
//! a manifest can name. Arguments can be of any type that serde can read and schemars can describe; results
//! are whatever implements [`IntoOutcome`].

pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "bundle",
        pub_export_macro: true,
        default_bindings_module: "certosa_sdk::bindings",
        export_macro_name: "export_bundle",
    });
}

mod call;
mod outcome;

pub use bindings::certosa::tools::log::Level;
pub use bindings::certosa::tools::types::{
    Askable, Content, Form, Hints, Media, Outcome, Question, QuestionKind, Questions, Refusal, ResourceBody,
    ResourceContents, ResourceLink, Tool as ToolInfo, ToolResult, Visit,
};
pub use call::Call;
pub use certosa_sdk_macros::tool;
pub use outcome::{IntoOutcome, Json};
pub use {schemars, serde, serde_json};

/// A tool. `#[tool]` implements it; by hand it serves tools with a schema of their own.
pub trait Tool {
    const NAME: &'static str;

    fn describe() -> ToolInfo;

    fn call(call: &Call) -> Result<Outcome, Refusal>;
}

/// The bundle of these tools: what the component exports.
#[macro_export]
macro_rules! bundle {
    ($($tool:path),* $(,)?) => {
        struct Bundle;

        impl $crate::bindings::exports::certosa::tools::tools::Guest for Bundle {
            fn list_tools() -> Result<Vec<$crate::ToolInfo>, $crate::Refusal> {
                Ok(vec![$(<$tool as $crate::Tool>::describe()),*])
            }

            fn call_tool(
                call: $crate::bindings::certosa::tools::types::Call,
            ) -> Result<$crate::Outcome, $crate::Refusal> {
                let call = $crate::Call::new(call);
                $(if call.name() == <$tool as $crate::Tool>::NAME {
                    return <$tool as $crate::Tool>::call(&call);
                })*
                Err($crate::Refusal::UnknownTool)
            }
        }

        $crate::bindings::export_bundle!(Bundle with_types_in $crate::bindings);
    };
}

/// The JSON Schema 2020-12 of `T`, as text.
pub fn schema_of<T: schemars::JsonSchema>() -> String {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
    // The name of a Rust type says nothing to a model.
    schema.remove("title");
    serde_json::to_string(&schema).unwrap_or_default()
}
