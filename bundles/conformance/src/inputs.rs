//! Tools that need something from the client before they can finish.

use certosa_sdk::serde_json::{Value, json};
use certosa_sdk::{Askable, Call, Outcome, Question, QuestionKind, Questions, tool};

use crate::tools::text;
use crate::{answered, form, form_of};

/// Asks the client's model.
#[tool]
pub fn test_sampling(
    call: &Call,
    /// The prompt to send to the model.
    prompt: String,
) -> Outcome {
    match call.answer::<Value>("sample") {
        Some(answer) => text(&format!("LLM response: {}", answer["content"]["text"].as_str().unwrap_or_default())),
        None => ask(vec![sample("sample", &prompt, 100)], None),
    }
}

/// Asks the person for a name and an address.
#[tool]
pub fn test_elicitation(
    call: &Call,
    /// The message to show to the person.
    message: String,
) -> Outcome {
    let schema = json!({
        "type": "object",
        "properties": {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        },
        "required": ["username", "email"],
    });
    match call.answer::<Value>("user") {
        Some(answer) => text(&format!("User response: action: {}, content: {}", action(&answer), answer["content"])),
        None => ask(vec![form_of("user", &message, &schema)], None),
    }
}

/// Asks with a form that has a default of every primitive type.
#[tool]
pub fn test_elicitation_sep1034_defaults(call: &Call) -> Outcome {
    let properties = json!({
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": true},
    });
    elicit(call, "Please check these values", &properties)
}

/// Asks with a form that has every kind of choice.
#[tool]
pub fn test_elicitation_sep1330_enums(call: &Call) -> Outcome {
    let choices = |titles: [&str; 3]| {
        let [first, second, third] = titles;
        json!([
            {"const": "value1", "title": first},
            {"const": "value2", "title": second},
            {"const": "value3", "title": third},
        ])
    };
    let options = json!(["option1", "option2", "option3"]);
    let properties = json!({
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": choices(["First Option", "Second Option", "Third Option"])},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": choices(["First Choice", "Second Choice", "Third Choice"])},
        },
    });
    elicit(call, "Please choose", &properties)
}

/// Needs the client's model, whatever the client can do.
#[tool]
pub fn test_missing_capability(call: &Call) -> Outcome {
    match call.answer::<Value>("sample") {
        Some(_) => text("The client has a model."),
        None => ask(vec![sample("sample", "Say hello", 10)], None),
    }
}

/// Reports progress and then asks.
#[tool]
pub fn test_streaming_elicitation(call: &Call) -> Outcome {
    call.progress(1.0, Some(2.0), None);
    match call.answer::<Value>("name") {
        Some(_) => text("Thank you."),
        None => ask(vec![form("name", "What is your name?", "name", "string")], None),
    }
}

/// Asks for a name and greets.
#[tool]
pub fn test_input_required_result_elicitation(call: &Call) -> Outcome {
    match answered(call, "user_name", "name") {
        Some(name) => text(&format!("Hello, {name}!")),
        None => ask(vec![form("user_name", "What is your name?", "name", "string")], None),
    }
}

/// Asks the client's model for a capital.
#[tool]
pub fn test_input_required_result_sampling(call: &Call) -> Outcome {
    match call.answer::<Value>("capital_question") {
        Some(answer) => text(answer["content"]["text"].as_str().unwrap_or("The model said nothing.")),
        None => ask(vec![sample("capital_question", "What is the capital of France?", 100)], None),
    }
}

/// Asks for the client's folders.
#[tool]
pub fn test_input_required_result_list_roots(call: &Call) -> Outcome {
    match call.answer::<Value>("client_roots") {
        Some(answer) => text(&format!("Roots: {}", answer["roots"])),
        None => ask(vec![roots()], None),
    }
}

/// Asks, and wants its state back.
#[tool]
pub fn test_input_required_result_request_state(call: &Call) -> Outcome {
    confirm(call, "state-ok")
}

/// Asks, and its state must not come back changed.
#[tool]
pub fn test_input_required_result_tampered_state(call: &Call) -> Outcome {
    confirm(call, "The state is whole.")
}

/// Asks three things of three kinds at once.
#[tool]
pub fn test_input_required_result_multiple_inputs(call: &Call) -> Outcome {
    let all = ["user_name", "greeting", "client_roots"].iter().all(|id| call.answer::<Value>(id).is_some());
    if all && call.state() == Some(b"asked") {
        return text("All three were answered.");
    }
    let user_name = form("user_name", "What is your name?", "name", "string");
    ask(vec![user_name, sample("greeting", "Generate a greeting", 50), roots()], Some("asked"))
}

/// Asks twice, one thing after the other.
#[tool]
pub fn test_input_required_result_multi_round(call: &Call) -> Outcome {
    let state = call.state().map(|state| String::from_utf8_lossy(state).into_owned()).unwrap_or_default();
    match (answered(call, "step1", "name"), answered(call, "step2", "color"), state.strip_prefix("name: ")) {
        (_, Some(color), Some(name)) => text(&format!("{name} likes {color}.")),
        (Some(name), _, None) => {
            let question = form("step2", "Step 2: What is your favorite color?", "color", "string");
            ask(vec![question], Some(&format!("name: {name}")))
        }
        _ => ask(vec![form("step1", "Step 1: What is your name?", "name", "string")], Some("start")),
    }
}

/// Asks only what the client can be asked.
#[tool]
pub fn test_input_required_result_capabilities(call: &Call) -> Outcome {
    let questions = [
        (Askable::FORM, form("user_name", "What is your name?", "name", "string")),
        (Askable::SAMPLE, sample("greeting", "Generate a greeting", 50)),
        (Askable::ROOTS, roots()),
    ];
    let possible = questions.into_iter().filter(|(needed, _)| call.askable().contains(*needed));
    let possible: Vec<_> = possible.map(|(_, question)| question).collect();
    let answered = possible.iter().any(|question| call.answer::<Value>(&question.id).is_some());
    if answered || possible.is_empty() { text("Nothing is left to ask.") } else { ask(possible, None) }
}

fn confirm(call: &Call, done: &str) -> Outcome {
    match (call.answer::<Value>("confirm"), call.state()) {
        (Some(_), Some(b"asked")) => text(done),
        _ => ask(vec![form("confirm", "Please confirm", "ok", "boolean")], Some("asked")),
    }
}

/// Asks with a form of these properties, and tells what came back.
fn elicit(call: &Call, message: &str, properties: &Value) -> Outcome {
    let schema = json!({"type": "object", "properties": properties});
    match call.answer::<Value>("form") {
        Some(answer) => {
            text(&format!("Elicitation completed: action={}, content={}", action(&answer), answer["content"]))
        }
        None => ask(vec![form_of("form", message, &schema)], None),
    }
}

fn action(answer: &Value) -> &str {
    answer["action"].as_str().unwrap_or("none")
}

fn ask(ask: Vec<Question>, state: Option<&str>) -> Outcome {
    Outcome::InputRequired(Questions { ask, state: state.map(|state| state.as_bytes().to_vec()) })
}

fn sample(id: &str, prompt: &str, tokens: u32) -> Question {
    let message = json!({"role": "user", "content": {"type": "text", "text": prompt}});
    let params = json!({"messages": [message], "maxTokens": tokens});
    Question { id: id.to_owned(), kind: QuestionKind::Sample(params.to_string()) }
}

fn roots() -> Question {
    Question { id: "client_roots".to_owned(), kind: QuestionKind::Roots }
}
