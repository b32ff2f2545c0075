//! Prompts and resources that ask, fail and announce changes.

use certosa_sdk::serde_json::Value;
use certosa_sdk::{
    Call, Form, GetOutcome, Lists, PromptMessage, PromptResult, Question, QuestionKind, Questions, ReadOutcome,
    Refusal, ResourceBody, ResourceContents, Role, Visit, prompt, resource, tool,
};

/// Says that a resource has changed.
#[tool]
pub fn touch(
    call: &Call,
    /// Its address.
    uri: String,
) -> String {
    call.resource_updated(&uri);
    "touched".to_owned()
}

/// Says that a resource has changed, and then breaks off.
#[tool]
pub fn touch_and_panic(
    call: &Call,
    /// Its address.
    uri: String,
) -> String {
    call.resource_updated(&uri);
    panic!("the probe panics on purpose")
}

/// Says that all lists have changed.
#[tool]
pub fn announce(call: &Call) -> String {
    call.lists_changed(Lists::TOOLS | Lists::PROMPTS | Lists::RESOURCES);
    "announced".to_owned()
}

/// Says that many resources have changed, one after the other.
#[tool]
pub fn touch_many(
    call: &Call,
    /// How many.
    count: u32,
) -> String {
    (0..count).for_each(|number| call.resource_updated(&format!("probe://numbers/{number}")));
    "touched".to_owned()
}

/// Sends the person to an address, and all that can be asked beside it, in two rounds.
#[tool]
pub fn ask_all(call: &Call) -> certosa_sdk::Outcome {
    let question = |id: &str, kind| Question { id: id.to_owned(), kind };
    match call.state() {
        None => {
            let url = "https://example.com/consent".to_owned();
            let visit = QuestionKind::Visit(Visit { message: "Please agree".to_owned(), url });
            let sample = r#"{"messages":[{"role":"user","content":{"type":"text","text":"Hi"}}],"maxTokens":5}"#;
            let ask = vec![
                question("visit", visit),
                question("sample", QuestionKind::Sample(sample.to_owned())),
                question("roots", QuestionKind::Roots),
            ];
            certosa_sdk::Outcome::InputRequired(Questions { ask, state: Some(b"first".to_vec()) })
        }
        Some(b"first") => {
            let answers = ["visit", "sample", "roots"].map(|id| call.answer::<Value>(id).unwrap_or_default());
            let state =
                format!("{}|{}|{}", answers[0]["action"], answers[1]["content"]["text"], answers[2]["roots"][0]);
            let ask = vec![question("form", QuestionKind::Form(form()))];
            certosa_sdk::Outcome::InputRequired(Questions { ask, state: Some(state.into_bytes()) })
        }
        Some(state) => {
            let name = call.accepted::<Value>("form").unwrap_or_default()["name"].clone();
            let text = format!("{} {name}", String::from_utf8_lossy(state));
            let content = vec![certosa_sdk::Content::Text(text)];
            certosa_sdk::Outcome::Done(certosa_sdk::ToolResult { content, structured: None, is_error: false })
        }
    }
}

fn form() -> Form {
    let schema = r#"{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}"#.to_owned();
    Form { message: "What is your name?".to_owned(), schema }
}

fn questions() -> Questions {
    let question = Question { id: "name".to_owned(), kind: QuestionKind::Form(form()) };
    Questions { ask: vec![question], state: Some(b"asked".to_vec()) }
}

fn name(call: &Call) -> Option<String> {
    let answer: Value = call.accepted("name")?;
    (call.state() == Some(b"asked")).then(|| answer["name"].as_str().map(str::to_owned))?
}

/// Asks for a name before it says anything.
#[prompt]
pub fn asking(call: &Call) -> GetOutcome {
    match name(call) {
        None => GetOutcome::InputRequired(questions()),
        Some(name) => {
            let content = certosa_sdk::Content::Text(format!("I am {name}."));
            let messages = vec![PromptMessage { role: Role::Assistant, content }];
            GetOutcome::Done(PromptResult { description: Some("An introduction".to_owned()), messages })
        }
    }
}

/// Refuses every argument.
#[prompt]
pub fn picky(
    /// Whatever it is, it is wrong.
    word: String,
) -> Result<String, String> {
    Err(format!("{word:?} is not the right word"))
}

/// Panics.
#[prompt]
pub fn panicking() -> String {
    panic!("the probe panics on purpose")
}

/// Asks for a name before it shows anything.
#[resource(uri = "probe://asking")]
pub fn secret(call: &Call) -> ReadOutcome {
    match name(call) {
        None => ReadOutcome::InputRequired(questions()),
        Some(name) => {
            let body = ResourceBody::Text(format!("for {name} only"));
            let contents = ResourceContents { uri: call.uri().to_owned(), mime_type: None, body };
            ReadOutcome::Done(vec![contents])
        }
    }
}

/// Numbers, as bytes.
#[resource(uri = "probe://numbers/{number}", complete = numbers_like)]
pub fn numbers(number: String) -> Result<Option<Vec<u8>>, Refusal> {
    match number.parse::<u8>() {
        Ok(number) => Ok(Some(vec![number; 3])),
        Err(_) if number == "spin" => loop {
            std::hint::black_box(&number);
        },
        Err(_) => Ok(None),
    }
}

/// What the path and the query of an address say.
#[resource(uri = "probe://tree/{+path}?q={query}")]
pub fn tree(path: String, query: String) -> String {
    format!("{path} {query}")
}

fn numbers_like(_: &certosa_sdk::Completing) -> Vec<String> {
    (0..250).map(|number: u32| number.to_string()).collect()
}
