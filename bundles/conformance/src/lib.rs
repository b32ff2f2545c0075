//! The fixtures of the official MCP conformance suite. They talk only through the public WIT, as any bundle
//! does; no host code knows one of their names.

mod inputs;
mod media;

use std::thread::sleep;
use std::time::Duration;

use certosa_sdk::{
    Call, Content, Hints, Level, Media, Outcome, Refusal, ResourceBody, ResourceContents, Tool, ToolInfo, ToolResult,
    tool,
};

const PAUSE: Duration = Duration::from_millis(50);

/// Returns a simple text.
#[tool]
fn test_simple_text() -> &'static str {
    "This is a simple text response for testing."
}

/// Returns an image.
#[tool]
fn test_image_content() -> Vec<Content> {
    vec![image()]
}

/// Returns a sound.
#[tool]
fn test_audio_content() -> Vec<Content> {
    vec![Content::Audio(Media { data: media::SILENCE_WAV.to_vec(), mime_type: "audio/wav".to_owned() })]
}

/// Returns a resource in the result.
#[tool]
fn test_embedded_resource() -> Vec<Content> {
    vec![resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]
}

/// Returns content of several types.
#[tool]
fn test_multiple_content_types() -> Vec<Content> {
    vec![
        Content::Text("Multiple content types test:".to_owned()),
        image(),
        resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
    ]
}

/// Writes three log messages while it runs.
#[tool]
fn test_tool_with_logging(call: &Call) -> &'static str {
    call.log(Level::Info, "Tool execution started");
    sleep(PAUSE);
    call.log(Level::Info, "Tool processing data");
    sleep(PAUSE);
    call.log(Level::Info, "Tool execution completed");
    "Logged three messages."
}

/// Writes a log message.
#[tool]
fn test_logging_tool(call: &Call) -> &'static str {
    call.log(Level::Info, "A log message");
    "Logged."
}

/// Reports progress three times while it runs.
#[tool]
fn test_tool_with_progress(call: &Call) -> &'static str {
    call.progress(0.0, Some(100.0), None);
    sleep(PAUSE);
    call.progress(50.0, Some(100.0), None);
    sleep(PAUSE);
    call.progress(100.0, Some(100.0), None);
    "Made progress."
}

/// Always fails.
#[tool]
fn test_error_handling() -> Result<String, &'static str> {
    Err("This tool intentionally returns an error for testing")
}

/// A tool whose schema uses what JSON Schema 2020-12 has.
#[allow(non_camel_case_types, reason = "named as the suite names it")]
struct json_schema_2020_12_tool {}

impl Tool for json_schema_2020_12_tool {
    const NAME: &'static str = "json_schema_2020_12_tool";

    fn describe() -> ToolInfo {
        raw_tool(Self::NAME, "Tool with JSON Schema 2020-12 features", include_str!("schema_2020_12.json"))
    }

    fn call(call: &Call) -> Result<Outcome, Refusal> {
        text(&format!("called as {}", call.name()))
    }
}

/// A tool that wants one of its parameters repeated in a header.
#[allow(non_camel_case_types, reason = "named as the suite names it")]
struct test_x_mcp_header {}

impl Tool for test_x_mcp_header {
    const NAME: &'static str = "test_x_mcp_header";

    fn describe() -> ToolInfo {
        let schema = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;
        raw_tool(Self::NAME, "Tool with a parameter that is repeated in the header Mcp-Param-Region", schema)
    }

    fn call(_: &Call) -> Result<Outcome, Refusal> {
        text("The header and the body agreed.")
    }
}

fn raw_tool(name: &str, description: &str, schema: &str) -> ToolInfo {
    ToolInfo {
        name: name.to_owned(),
        title: None,
        description: description.to_owned(),
        input_schema: schema.to_owned(),
        output_schema: None,
        hints: Hints::empty(),
    }
}

fn text(text: &str) -> Result<Outcome, Refusal> {
    let content = vec![Content::Text(text.to_owned())];
    Ok(Outcome::Done(ToolResult { content, structured: None, is_error: false }))
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

certosa_sdk::bundle!(
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_tool_with_logging,
    test_logging_tool,
    test_tool_with_progress,
    test_error_handling,
    json_schema_2020_12_tool,
    test_x_mcp_header,
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
);
