//! From the house's outcomes to MCP results, as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certosa_house::{CallError, role_name};
use certosa_model::{Event, Limit};
use certosa_syscall::guest::{
    Completion, Content, Outcome, PromptResult, Question, QuestionKind, ResourceBody, ResourceContents, ToolResult,
};
use serde::Serialize;
use serde_json::{json, value::RawValue};

use crate::rpc::{notification, quoted};
use crate::versions::Version;

/// Writes a finished call as the body of a `CallToolResult`, without the braces around it.
pub(crate) fn write_tool_result(result: &ToolResult, version: Version, body: &mut Vec<u8>) {
    write_list("content", &result.content, body, |content, body| write_content(content, version, body));
    if let Some(structured) = &result.structured {
        body.extend_from_slice(br#","structuredContent":"#);
        body.extend_from_slice(structured.as_bytes());
    }
    if result.is_error {
        body.extend_from_slice(br#","isError":true"#);
    }
}

/// Writes a prompt as the body of a `GetPromptResult`, without the braces around it.
pub(crate) fn write_prompt(result: &PromptResult, version: Version, body: &mut Vec<u8>) {
    if let Some(description) = &result.description {
        body.extend_from_slice(br#""description":"#);
        write_text(description, body);
        body.push(b',');
    }
    write_list("messages", &result.messages, body, |message, body| {
        body.extend_from_slice(format!(r#"{{"role":"{}","content":"#, role_name(message.role)).as_bytes());
        write_content(&message.content, version, body);
        body.push(b'}');
    });
}

/// Writes a resource as the body of a `ReadResourceResult`, without the braces around it.
pub(crate) fn write_contents(contents: &[ResourceContents], body: &mut Vec<u8>) {
    write_list("contents", contents, body, write_resource);
}

/// Writes proposals as the body of a `CompleteResult`, without the braces around it.
pub(crate) fn write_completion(completion: &Completion, body: &mut Vec<u8>) {
    body.extend_from_slice(br#""completion":{"#);
    write_list("values", &completion.values, body, |value, body| write_text(value, body));
    if let Some(total) = completion.total {
        body.extend_from_slice(format!(r#","total":{total}"#).as_bytes());
    }
    body.extend_from_slice(format!(r#","hasMore":{}}}"#, completion.has_more).as_bytes());
}

/// Writes `"name":[…]`.
fn write_list<T>(name: &str, items: &[T], body: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    for part in ["\"", name, "\":["] {
        body.extend_from_slice(part.as_bytes());
    }
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write(item, body);
    }
    body.push(b']');
}

/// Writes a call that has no result as a tool error: the model reads why, and a program finds it in `_meta`.
pub(crate) fn write_tool_error(error: &CallError, body: &mut Vec<u8>) {
    let (text, refusal) = (quoted(&error.to_string()), refusal(error));
    let written = format!(
        r#""content":[{{"type":"text","text":{text}}}],"isError":true,"_meta":{{"certosa/refusal":{refusal}}}"#
    );
    body.extend_from_slice(written.as_bytes());
}

/// Why a call has no result, for programs.
pub(crate) fn refusal(error: &CallError) -> serde_json::Value {
    let mut refusal = json!({ "fault": error.fault() });
    let details = match error {
        CallError::Unknown(kind) => vec![("kind", json!(format!("unknown-{}", kind.as_str())))],
        CallError::Arguments(_) => vec![("kind", json!("arguments"))],
        CallError::Busy { retry_after_ms, field, bound } => {
            vec![
                ("kind", json!("busy")),
                ("limit", json!(if *field == Limit::Wall.field() { Limit::Wall } else { Limit::Concurrency })),
                ("setBy", json!(field)),
                ("bound", json!(bound)),
                ("retryAfterMs", json!(retry_after_ms)),
            ]
        }
        CallError::Limit(limit, bound) => {
            vec![
                ("kind", json!("limit")),
                ("limit", json!(limit)),
                ("setBy", json!(limit.field())),
                ("bound", json!(bound)),
            ]
        }
        CallError::Bundle(_) => vec![("kind", json!("bundle"))],
        CallError::Declined(_) => vec![("kind", json!("declined"))],
        CallError::CannotAsk(_) => vec![("kind", json!("cannot-ask"))],
        CallError::Unanswered(_) => vec![("kind", json!("unanswered"))],
        CallError::Host(_) => vec![("kind", json!("host"))],
    };
    for (key, value) in details {
        if let Some(object) = refusal.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
    }
    refusal
}

/// The result of a call as one JSON object, for those who are not MCP clients.
pub fn result(result: &Result<Outcome, CallError>) -> String {
    let mut body = b"{".to_vec();
    match result {
        Ok(Outcome::Tool(done)) => write_tool_result(done, Version::V2026_07_28, &mut body),
        Ok(Outcome::Prompt(prompt)) => write_prompt(prompt, Version::V2026_07_28, &mut body),
        Ok(Outcome::Resource(contents)) => write_contents(contents, &mut body),
        Ok(Outcome::Completion(completion)) => write_completion(completion, &mut body),
        Ok(Outcome::InputRequired(questions)) => write_questions(&questions.ask, &mut body),
        Err(error) => write_tool_error(error, &mut body),
    }
    body.push(b'}');
    String::from_utf8(body).unwrap_or_default()
}

/// Writes questions as `"inputRequests":{…}`.
pub(crate) fn write_questions(questions: &[Question], body: &mut Vec<u8>) {
    body.extend_from_slice(br#""inputRequests":{"#);
    for (index, question) in questions.iter().enumerate() {
        let (method, params) = self::question(&question.kind);
        let comma = if index > 0 { "," } else { "" };
        let written = format!(r#"{comma}{}:{{"method":"{method}","params":{params}}}"#, quoted(&question.id));
        body.extend_from_slice(written.as_bytes());
    }
    body.push(b'}');
}

/// The request of MCP that asks a question.
pub(crate) fn question(kind: &QuestionKind) -> (&'static str, String) {
    match kind {
        QuestionKind::Form(form) => {
            let (message, schema) = (quoted(&form.message), &form.schema);
            ("elicitation/create", format!(r#"{{"mode":"form","message":{message},"requestedSchema":{schema}}}"#))
        }
        QuestionKind::Visit(visit) => {
            let (message, url) = (quoted(&visit.message), quoted(&visit.url));
            ("elicitation/create", format!(r#"{{"mode":"url","message":{message},"url":{url}}}"#))
        }
        QuestionKind::Sample(params) => ("sampling/createMessage", params.clone()),
        QuestionKind::Roots => ("roots/list", "{}".to_owned()),
    }
}

/// An event as a notification. `token` is the text of the client's progress token.
pub(crate) fn event(event: &Event, token: Option<&str>) -> Option<bytes::Bytes> {
    match event {
        Event::Progress(progress) => {
            let params = ProgressParams {
                progress_token: RawValue::from_string(token?.to_owned()).ok()?,
                progress: number(progress.done),
                total: progress.total.map(number),
                message: progress.message.as_deref(),
            };
            Some(notification("notifications/progress", &serde_json::to_string(&params).ok()?))
        }
        Event::Log { level, data } => {
            Some(notification("notifications/message", &format!(r#"{{"level":"{}","data":{data}}}"#, level.as_str())))
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressParams<'a> {
    progress_token: Box<RawValue>,
    progress: serde_json::Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// Whole numbers without a fraction: `50`, not `50.0`.
fn number(value: f64) -> serde_json::Number {
    #[expect(clippy::cast_possible_truncation, reason = "checked in the same line")]
    let whole = value as i64;
    #[expect(clippy::cast_precision_loss, reason = "that is what is checked")]
    let is_whole = whole as f64 == value && whole.unsigned_abs() < 1 << 53;
    match serde_json::Number::from_f64(value) {
        Some(number) if !is_whole => number,
        _ => whole.into(),
    }
}

fn write_content(content: &Content, version: Version, body: &mut Vec<u8>) {
    match content {
        Content::Text(text) => {
            body.extend_from_slice(br#"{"type":"text","text":"#);
            write_text(text, body);
        }
        Content::Image(media) | Content::Audio(media) => {
            let kind = if matches!(content, Content::Image(_)) { "image" } else { "audio" };
            body.extend_from_slice(format!(r#"{{"type":"{kind}","data":""#).as_bytes());
            body.extend_from_slice(STANDARD.encode(&media.data).as_bytes());
            body.extend_from_slice(br#"","mimeType":"#);
            write_text(&media.mime_type, body);
        }
        Content::Resource(resource) => {
            body.extend_from_slice(br#"{"type":"resource","resource":"#);
            write_resource(resource, body);
        }
        // There were no links yet: the client gets the address to read it by.
        Content::Link(link) if version < Version::V2025_06_18 => {
            body.extend_from_slice(br#"{"type":"text","text":"#);
            write_text(&format!("{}: {}", link.name, link.uri), body);
        }
        Content::Link(link) => {
            body.extend_from_slice(br#"{"type":"resource_link","uri":"#);
            write_text(&link.uri, body);
            body.extend_from_slice(br#","name":"#);
            write_text(&link.name, body);
            write_option("description", link.description.as_deref(), body);
            write_option("mimeType", link.mime_type.as_deref(), body);
        }
    }
    body.push(b'}');
}

fn write_resource(resource: &ResourceContents, body: &mut Vec<u8>) {
    body.extend_from_slice(br#"{"uri":"#);
    write_text(&resource.uri, body);
    write_option("mimeType", resource.mime_type.as_deref(), body);
    match &resource.body {
        ResourceBody::Text(text) => write_option("text", Some(text), body),
        ResourceBody::Blob(bytes) => write_option("blob", Some(&STANDARD.encode(bytes)), body),
    }
    body.push(b'}');
}

fn write_option(key: &str, text: Option<&str>, body: &mut Vec<u8>) {
    if let Some(text) = text {
        body.extend_from_slice(format!(r#","{key}":"#).as_bytes());
        write_text(text, body);
    }
}

fn write_text(text: &str, body: &mut Vec<u8>) {
    // Writing a string to a vector cannot fail.
    let _written = serde_json::to_writer(body, text);
}
