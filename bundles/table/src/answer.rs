//! Rows for the model and for programs.

use std::fmt::Write as _;

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Serialize;
use certosa_sdk::serde_json::{self, Value as Json};
use certosa_sdk::{Content, IntoOutcome, Outcome, Refusal, ToolResult, schema_of};

use crate::value::Value;

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Answer {
    /// The names of the columns.
    columns: Vec<String>,
    /// The rows, each with a value for every column.
    rows: Vec<Vec<Json>>,
    /// How many rows there are, shown or not.
    count: usize,
    /// Whether rows are left out.
    cut: bool,
}

impl Answer {
    pub fn new(columns: Vec<String>, rows: &[Vec<Value>], rows_max: usize) -> Self {
        let count = rows.len();
        let shown = rows.iter().take(rows_max).map(|row| row.iter().map(Value::json).collect());
        Self { columns, rows: shown.collect(), count, cut: count > rows_max }
    }

    fn markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
        let mut text = line(&mut self.columns.iter().map(|name| cell(name)));
        text.push_str(&line(&mut self.columns.iter().map(|_| "---".to_owned())));
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(shown)));
        }
        let count = counted(self.count);
        match self.cut {
            false => write!(text, "\n{count}").unwrap_or_default(),
            true => {
                let shown = self.rows.len();
                let note = "narrow the query, or use LIMIT and OFFSET";
                write!(text, "\nthe first {shown} of {count}; {note}").unwrap_or_default();
            }
        }
        text
    }
}

impl IntoOutcome for Answer {
    fn into_outcome(self) -> Result<Outcome, Refusal> {
        let structured = serde_json::to_string(&self).map_err(|error| Refusal::Failed(error.to_string()))?;
        let content = vec![Content::Text(self.markdown())];
        ToolResult { content, structured: Some(structured), is_error: false }.into_outcome()
    }

    fn schema() -> Option<String> {
        Some(schema_of::<Self>())
    }
}

/// A text that stays in its cell of a Markdown table.
pub fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
}

pub fn counted(rows: usize) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

fn shown(value: &Json) -> String {
    match value {
        Json::Null => "NULL".to_owned(),
        Json::String(text) => cell(text),
        other => cell(&other.to_string()),
    }
}
