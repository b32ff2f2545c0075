//! The smallest bundle: two tools that need nothing.

use certosa_sdk::tool;

/// Greets someone by name.
#[tool(title = "Greet", read_only, idempotent)]
fn greet(
    /// Whom to greet.
    name: String,
) -> String {
    format!("Hello, {name}!")
}

/// Returns the text that it was given. Useful for finding out whether calls arrive.
#[tool(title = "Echo", read_only, idempotent)]
fn echo(
    /// The text to return.
    text: String,
) -> String {
    text
}

certosa_sdk::bundle!(greet, echo);
