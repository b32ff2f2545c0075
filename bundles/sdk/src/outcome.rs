use std::fmt::Display;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{Content, Outcome, Refusal, ToolResult, schema_of};

/// What a tool's function may return.
pub trait IntoOutcome {
    fn into_outcome(self) -> Result<Outcome, Refusal>;

    /// The schema of the structured content, if there is any.
    fn schema() -> Option<String> {
        None
    }
}

/// Structured content: programs read the value, models read it as JSON text.
pub struct Json<T>(pub T);

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        Ok(self)
    }
}

impl IntoOutcome for ToolResult {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        Ok(Outcome::Done(self))
    }
}

impl IntoOutcome for Vec<Content> {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        ToolResult { content: self, structured: None, is_error: false }.into_outcome()
    }
}

impl IntoOutcome for String {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        vec![Content::Text(self)].into_outcome()
    }
}

impl IntoOutcome for &str {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        self.to_owned().into_outcome()
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        Vec::new().into_outcome()
    }
}

impl<T: Serialize + JsonSchema> IntoOutcome for Json<T> {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        let text = serde_json::to_string(&self.0).map_err(|error| Refusal::Failed(error.to_string()))?;
        let content = vec![Content::Text(text.clone())];
        ToolResult { content, structured: Some(text), is_error: false }.into_outcome()
    }

    fn schema() -> Option<String> {
        Some(schema_of::<T>())
    }
}

/// An error is a result that the model reads and can act on.
impl<T: IntoOutcome, E: Display> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        match self {
            Ok(value) => value.into_outcome(),
            Err(error) => {
                let content = vec![Content::Text(error.to_string())];
                ToolResult { content, structured: None, is_error: true }.into_outcome()
            }
        }
    }

    fn schema() -> Option<String> {
        T::schema()
    }
}
