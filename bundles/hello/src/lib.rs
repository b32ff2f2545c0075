//! The smallest bundle that has everything: tools, one of which asks a question, a prompt, a resource and a
//! template of resources.

use certosa_sdk::serde::Deserialize;
use certosa_sdk::serde_json::{Value, json};
use certosa_sdk::{Askable, Call, Completing, Content, Form, Outcome, Question, QuestionKind, Questions, ToolResult};
use certosa_sdk::{prompt, resource, tool};

const LANGUAGES: [(&str, &str); 5] = [
    ("english", "Hello"),
    ("french", "Bonjour"),
    ("german", "Guten Tag"),
    ("italian", "Buongiorno"),
    ("spanish", "Hola"),
];

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

/// What the person puts into the form.
#[derive(Deserialize)]
#[serde(crate = "certosa_sdk::serde")]
struct Introduction {
    name: String,
}

/// Asks the person at the client for their name, and greets them. Useful for finding out whether a client can
/// be asked something.
#[tool(title = "Introduce yourself", read_only)]
fn introduce(call: &Call) -> Outcome {
    // Nobody but us checks what was answered: it has to fit this type.
    if let Some(Introduction { name }) = call.accepted("name") {
        return said(&format!("Hello, {name}!"));
    }
    // Anything else is a refusal, and nobody is asked twice.
    let refused = call.answer::<Value>("name").is_some();
    if refused || !call.askable().contains(Askable::FORM) {
        return said("Hello, whoever you are!");
    }
    let schema = json!({
        "type": "object",
        "properties": { "name": { "type": "string", "title": "Your name" } },
        "required": ["name"],
    });
    let form = Form { message: "What is your name?".to_owned(), schema: schema.to_string() };
    let question = Question { id: "name".to_owned(), kind: QuestionKind::Form(form) };
    Outcome::InputRequired(Questions { ask: vec![question], state: None })
}

/// A first message to a model, to see whether prompts arrive.
#[prompt(title = "Welcome", complete = languages)]
fn welcome(
    /// Who is welcomed.
    name: String,
    /// The language: english, french, german, italian or spanish; english if it is left out.
    language: Option<String>,
) -> Result<String, String> {
    let language = language.unwrap_or_else(|| "english".to_owned());
    greeting(&language)
        .map(|greeting| format!("{greeting}, {name}! Please introduce yourself in one sentence, in {language}."))
        .ok_or_else(|| format!("{language:?} is none of the languages: english, french, german, italian, spanish"))
}

/// What this bundle is.
#[resource(uri = "hello://about", title = "About this bundle", mime_type = "text/markdown", priority = 0.2)]
fn about() -> &'static str {
    "# hello\n\nThe smallest bundle that has everything: tools, one of which asks a question, a prompt, a resource \
     and a template of resources. Its source is a good place to start writing one.\n"
}

/// The greeting of a language: english, french, german, italian or spanish.
#[resource(uri = "hello://greeting/{language}", title = "A greeting", mime_type = "text/plain", complete = languages)]
fn greeting_in(language: String) -> Option<&'static str> {
    greeting(&language)
}

fn greeting(language: &str) -> Option<&'static str> {
    LANGUAGES.iter().find(|(name, _)| *name == language).map(|(_, greeting)| *greeting)
}

fn languages(typing: &Completing) -> Vec<String> {
    match typing.argument.as_str() {
        "language" => LANGUAGES.iter().map(|(name, _)| (*name).to_owned()).collect(),
        _ => Vec::new(),
    }
}

fn said(text: &str) -> Outcome {
    Outcome::Done(ToolResult { content: vec![Content::Text(text.to_owned())], structured: None, is_error: false })
}

certosa_sdk::bundle!(tools: [greet, echo, introduce], prompts: [welcome], resources: [about, greeting_in]);
