//! Tools that finish at once, or after a while.

use std::thread::sleep;
use std::time::Duration;

use certosa_sdk::{Call, Content, Hints, Level, Lists, Media, Outcome, Refusal, Tool, ToolInfo, ToolResult, tool};

use crate::{image, media, resource};

const PAUSE: Duration = Duration::from_millis(50);

/// Returns a simple text.
#[tool]
pub fn test_simple_text() -> &'static str {
    "This is a simple text response for testing."
}

/// Returns an image.
#[tool]
pub fn test_image_content() -> Vec<Content> {
    vec![image()]
}

/// Returns a sound.
#[tool]
pub fn test_audio_content() -> Vec<Content> {
    vec![Content::Audio(Media { data: media::SILENCE_WAV.to_vec(), mime_type: "audio/wav".to_owned() })]
}

/// Returns a resource in the result.
#[tool]
pub fn test_embedded_resource() -> Vec<Content> {
    vec![resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]
}

/// Returns content of several types.
#[tool]
pub fn test_multiple_content_types() -> Vec<Content> {
    vec![
        Content::Text("Multiple content types test:".to_owned()),
        image(),
        resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
    ]
}

/// Writes three log messages while it runs.
#[tool]
pub fn test_tool_with_logging(call: &Call) -> &'static str {
    call.log(Level::Info, "Tool execution started");
    sleep(PAUSE);
    call.log(Level::Info, "Tool processing data");
    sleep(PAUSE);
    call.log(Level::Info, "Tool execution completed");
    "Logged three messages."
}

/// Writes a log message.
#[tool]
pub fn test_logging_tool(call: &Call) -> &'static str {
    call.log(Level::Info, "A log message");
    "Logged."
}

/// Reports progress three times while it runs.
#[tool]
pub fn test_tool_with_progress(call: &Call) -> &'static str {
    call.progress(0.0, Some(100.0), None);
    sleep(PAUSE);
    call.progress(50.0, Some(100.0), None);
    sleep(PAUSE);
    call.progress(100.0, Some(100.0), None);
    "Made progress."
}

/// Always fails.
#[tool]
pub fn test_error_handling() -> Result<String, &'static str> {
    Err("This tool intentionally returns an error for testing")
}

/// Takes long enough for a client to lose the connection and to come back.
#[tool]
pub fn test_reconnection(call: &Call) -> &'static str {
    call.log(Level::Info, "Working on it");
    sleep(PAUSE * 10);
    "If this arrived after a break, the client has come back for it."
}

/// A tool that says that there are other tools than before. It is right: it is listed with the time.
#[allow(non_camel_case_types, reason = "named as the suite names it")]
pub struct test_trigger_tool_change {}

impl Tool for test_trigger_tool_change {
    const NAME: &'static str = "test_trigger_tool_change";

    fn describe() -> ToolInfo {
        let description = format!("Says that there are other tools than before. Listed at {}", crate::now());
        raw_tool(Self::NAME, &description, r#"{"type":"object"}"#)
    }

    fn call(call: &Call) -> Result<Outcome, Refusal> {
        call.lists_changed(Lists::TOOLS);
        Ok(text("The tools are asked for again."))
    }
}

/// Says that there are other prompts than before.
#[tool]
pub fn test_trigger_prompt_change(call: &Call) -> &'static str {
    call.lists_changed(Lists::PROMPTS);
    "The prompts are asked for again."
}

/// A tool whose schema uses what JSON Schema 2020-12 has.
#[allow(non_camel_case_types, reason = "named as the suite names it")]
pub struct json_schema_2020_12_tool {}

impl Tool for json_schema_2020_12_tool {
    const NAME: &'static str = "json_schema_2020_12_tool";

    fn describe() -> ToolInfo {
        raw_tool(Self::NAME, "Tool with JSON Schema 2020-12 features", include_str!("schema_2020_12.json"))
    }

    fn call(call: &Call) -> Result<Outcome, Refusal> {
        Ok(text(&format!("called as {}", call.name())))
    }
}

/// A tool that wants one of its parameters repeated in a header.
#[allow(non_camel_case_types, reason = "named as the suite names it")]
pub struct test_x_mcp_header {}

impl Tool for test_x_mcp_header {
    const NAME: &'static str = "test_x_mcp_header";

    fn describe() -> ToolInfo {
        let schema = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;
        raw_tool(Self::NAME, "Tool with a parameter that is repeated in the header Mcp-Param-Region", schema)
    }

    fn call(_: &Call) -> Result<Outcome, Refusal> {
        Ok(text("The header and the body agreed."))
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

pub fn text(text: &str) -> Outcome {
    let content = vec![Content::Text(text.to_owned())];
    Outcome::Done(ToolResult { content, structured: None, is_error: false })
}
