//! Prompts and resources.

use std::fmt::Display;

use crate::{
    Call, Completing, Completion, Content, GetOutcome, PromptInfo, PromptMessage, PromptResult, ReadOutcome, Refusal,
    ResourceBody, ResourceContents, ResourceInfo, Role, TemplateInfo,
};

/// A prompt. `#[prompt]` implements it.
pub trait Prompt {
    const NAME: &'static str;

    fn describe() -> PromptInfo;

    fn get(call: &Call) -> Result<GetOutcome, Refusal>;

    /// What an argument may be. Those that do not begin with what is typed already are left out.
    fn candidates(_typing: &Completing) -> Vec<String> {
        Vec::new()
    }
}

/// A resource or a template of resources. `#[resource]` implements it.
pub trait Resource {
    const NAME: &'static str;

    fn describe() -> Readable;

    fn read(call: &Call) -> Result<ReadOutcome, Refusal>;

    /// What a variable may be. Those that do not begin with what is typed already are left out.
    fn candidates(_typing: &Completing) -> Vec<String> {
        Vec::new()
    }
}

/// How a resource is listed.
pub enum Readable {
    Resource(ResourceInfo),
    Template(TemplateInfo),
}

/// What a prompt's function may return.
pub trait IntoPrompt {
    fn into_prompt(self) -> Result<GetOutcome, Refusal>;
}

/// What a resource's function may return.
pub trait IntoContents {
    /// `uri` and `mime_type` are those that the resource was listed with.
    fn into_contents(self, uri: &str, mime_type: Option<&str>) -> Result<ReadOutcome, Refusal>;
}

impl IntoPrompt for GetOutcome {
    fn into_prompt(self) -> Result<GetOutcome, Refusal> {
        Ok(self)
    }
}

impl IntoPrompt for Vec<PromptMessage> {
    fn into_prompt(self) -> Result<GetOutcome, Refusal> {
        Ok(GetOutcome::Done(PromptResult { description: None, messages: self }))
    }
}

impl IntoPrompt for String {
    fn into_prompt(self) -> Result<GetOutcome, Refusal> {
        vec![PromptMessage { role: Role::User, content: Content::Text(self) }].into_prompt()
    }
}

impl IntoPrompt for &str {
    fn into_prompt(self) -> Result<GetOutcome, Refusal> {
        self.to_owned().into_prompt()
    }
}

/// An error says what is wrong with the arguments.
impl<T: IntoPrompt, E: Display> IntoPrompt for Result<T, E> {
    fn into_prompt(self) -> Result<GetOutcome, Refusal> {
        self.map_err(|error| Refusal::InvalidArguments(error.to_string()))?.into_prompt()
    }
}

impl IntoContents for ReadOutcome {
    fn into_contents(self, _: &str, _: Option<&str>) -> Result<ReadOutcome, Refusal> {
        Ok(self)
    }
}

impl IntoContents for Vec<ResourceContents> {
    fn into_contents(self, _: &str, _: Option<&str>) -> Result<ReadOutcome, Refusal> {
        Ok(ReadOutcome::Done(self))
    }
}

impl IntoContents for ResourceBody {
    fn into_contents(self, uri: &str, mime_type: Option<&str>) -> Result<ReadOutcome, Refusal> {
        let mime_type = mime_type.map(str::to_owned);
        vec![ResourceContents { uri: uri.to_owned(), mime_type, body: self }].into_contents("", None)
    }
}

impl IntoContents for String {
    fn into_contents(self, uri: &str, mime_type: Option<&str>) -> Result<ReadOutcome, Refusal> {
        ResourceBody::Text(self).into_contents(uri, mime_type)
    }
}

impl IntoContents for &str {
    fn into_contents(self, uri: &str, mime_type: Option<&str>) -> Result<ReadOutcome, Refusal> {
        self.to_owned().into_contents(uri, mime_type)
    }
}

impl IntoContents for Vec<u8> {
    fn into_contents(self, uri: &str, mime_type: Option<&str>) -> Result<ReadOutcome, Refusal> {
        ResourceBody::Blob(self).into_contents(uri, mime_type)
    }
}

/// Nothing means that there is no such resource.
impl<T: IntoContents> IntoContents for Option<T> {
    fn into_contents(self, uri: &str, mime_type: Option<&str>) -> Result<ReadOutcome, Refusal> {
        self.ok_or(Refusal::Unknown)?.into_contents(uri, mime_type)
    }
}

impl<T: IntoContents, E: Display> IntoContents for Result<T, E> {
    fn into_contents(self, uri: &str, mime_type: Option<&str>) -> Result<ReadOutcome, Refusal> {
        self.map_err(|error| Refusal::Failed(error.to_string()))?.into_contents(uri, mime_type)
    }
}

const VALUES_MAX: usize = 100;

/// Those candidates that begin with what is typed, in any case of letters.
#[doc(hidden)]
pub fn complete(candidates: Vec<String>, typed: &str) -> Completion {
    let typed = typed.to_lowercase();
    let fits = |value: &String| value.to_lowercase().starts_with(&typed);
    let mut values: Vec<String> = candidates.into_iter().filter(fits).collect();
    let total = values.len();
    values.truncate(VALUES_MAX);
    Completion { values, total: u32::try_from(total).ok(), has_more: total > VALUES_MAX }
}
