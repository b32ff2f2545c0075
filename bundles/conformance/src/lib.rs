//! The fixtures of the official MCP conformance suite. They talk only through the public WIT, as any bundle
//! does; no host code knows one of their names.

mod inputs;
mod media;
mod prompts;
mod resources;
mod tools;

use std::time::SystemTime;

use certosa_sdk::serde_json::{Value, json};
use certosa_sdk::{Call, Content, Form, Media, Question, QuestionKind, ResourceBody, ResourceContents};

/// Seconds since 1970, to the microsecond.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn image() -> Content {
    Content::Image(Media { data: media::RED_PNG.to_vec(), mime_type: "image/png".to_owned() })
}

fn resource(uri: &str, mime_type: &str, text: &str) -> Content {
    Content::Resource(ResourceContents {
        uri: uri.to_owned(),
        mime_type: Some(mime_type.to_owned()),
        body: ResourceBody::Text(text.to_owned()),
    })
}

/// A form with the one member `member`.
fn form(id: &str, message: &str, member: &str, kind: &str) -> Question {
    let schema = json!({"type": "object", "properties": {member: {"type": kind}}, "required": [member]});
    form_of(id, message, &schema)
}

fn form_of(id: &str, message: &str, schema: &Value) -> Question {
    let form = Form { message: message.to_owned(), schema: schema.to_string() };
    Question { id: id.to_owned(), kind: QuestionKind::Form(form) }
}

/// The member `member` of an accepted form.
fn answered(call: &Call, id: &str, member: &str) -> Option<String> {
    call.accepted::<Value>(id)?[member].as_str().map(str::to_owned)
}

certosa_sdk::bundle!(
    tools: [
        // The suite calls the first one without arguments.
        tools::test_simple_text,
        tools::test_image_content,
        tools::test_audio_content,
        tools::test_embedded_resource,
        tools::test_multiple_content_types,
        tools::test_tool_with_logging,
        tools::test_logging_tool,
        tools::test_tool_with_progress,
        tools::test_error_handling,
        tools::test_reconnection,
        tools::test_trigger_tool_change,
        tools::test_trigger_prompt_change,
        tools::json_schema_2020_12_tool,
        tools::test_x_mcp_header,
        inputs::test_sampling,
        inputs::test_elicitation,
        inputs::test_elicitation_sep1034_defaults,
        inputs::test_elicitation_sep1330_enums,
        inputs::test_missing_capability,
        inputs::test_streaming_elicitation,
        inputs::test_input_required_result_elicitation,
        inputs::test_input_required_result_sampling,
        inputs::test_input_required_result_list_roots,
        inputs::test_input_required_result_request_state,
        inputs::test_input_required_result_multiple_inputs,
        inputs::test_input_required_result_multi_round,
        inputs::test_input_required_result_tampered_state,
        inputs::test_input_required_result_capabilities,
    ],
    prompts: [
        prompts::test_simple_prompt,
        prompts::test_prompt_with_arguments,
        prompts::test_prompt_with_embedded_resource,
        prompts::test_prompt_with_image,
        prompts::test_input_required_result_prompt,
    ],
    resources: [
        resources::static_text,
        resources::static_binary,
        resources::template_data,
        resources::watched_resource,
    ],
);
