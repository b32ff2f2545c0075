//! The prompts.

#![allow(non_snake_case, reason = "arguments are named as the suite names them")]

use certosa_sdk::{
    Call, Completing, Content, GetOutcome, IntoPrompt as _, Prompt, PromptInfo, PromptMessage, PromptResult, Questions,
    Refusal, Role, prompt,
};

use crate::{answered, form, image, resource};

/// A prompt without arguments. It is listed with the time, so that the prompts change.
#[allow(non_camel_case_types, reason = "named as the suite names it")]
pub struct test_simple_prompt {}

impl Prompt for test_simple_prompt {
    const NAME: &'static str = "test_simple_prompt";

    fn describe() -> PromptInfo {
        let description = Some(format!("A prompt without arguments. Listed at {}", crate::now()));
        PromptInfo { name: Self::NAME.to_owned(), title: None, description, arguments: Vec::new() }
    }

    fn get(_: &Call) -> Result<GetOutcome, Refusal> {
        "This is a simple prompt for testing.".into_prompt()
    }
}

/// A prompt with two arguments.
#[prompt(complete = candidates)]
pub fn test_prompt_with_arguments(
    /// First test argument.
    arg1: String,
    /// Second test argument.
    arg2: String,
) -> String {
    format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")
}

fn candidates(typing: &Completing) -> Vec<String> {
    let values: &[&str] = match typing.argument.as_str() {
        "arg1" => &["paris", "park", "party", "test one", "test two"],
        _ => &[],
    };
    values.iter().map(|&value| value.to_owned()).collect()
}

/// A prompt with a resource in it.
#[prompt]
pub fn test_prompt_with_embedded_resource(
    /// URI of the resource to embed.
    resourceUri: String,
) -> Vec<PromptMessage> {
    let resource = resource(&resourceUri, "text/plain", "Embedded resource content for testing.");
    vec![user(resource), text("Please process the embedded resource above.")]
}

/// A prompt with an image in it.
#[prompt]
pub fn test_prompt_with_image() -> Vec<PromptMessage> {
    vec![user(image()), text("Please analyze the image above.")]
}

/// A prompt that asks for its context.
#[prompt]
pub fn test_input_required_result_prompt(call: &Call) -> GetOutcome {
    match answered(call, "user_context", "context") {
        Some(context) => {
            let messages = vec![text(&format!("Use this context: {context}"))];
            GetOutcome::Done(PromptResult { description: None, messages })
        }
        None => {
            let question = form("user_context", "What context should the prompt use?", "context", "string");
            GetOutcome::InputRequired(Questions { ask: vec![question], state: None })
        }
    }
}

fn text(text: &str) -> PromptMessage {
    user(Content::Text(text.to_owned()))
}

fn user(content: Content) -> PromptMessage {
    PromptMessage { role: Role::User, content }
}
