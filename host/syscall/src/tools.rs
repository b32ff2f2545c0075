//! `wit/tools.wit` and `wit/types.wit`: what the house asks of a bundle, and the words of it.

pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "bundle",
        exports: { default: async },
    });
}

pub use bindings::certosa::tools::types::{
    Answer, Askable, Call, Content, Form, Hints, Media, Outcome, Question, QuestionKind, Questions, Refusal,
    ResourceBody, ResourceContents, ResourceLink, Tool, ToolResult, Visit,
};
pub use bindings::{Bundle, BundlePre};

impl bindings::certosa::tools::types::Host for crate::Cell {}

/// How many bytes of text and data an outcome carries.
pub fn size(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Done(result) => {
            result.content.iter().map(content_size).sum::<usize>() + result.structured.as_ref().map_or(0, String::len)
        }
        Outcome::InputRequired(questions) => {
            let asked = questions.ask.iter().map(question_size).sum::<usize>();
            asked + questions.state.as_ref().map_or(0, Vec::len)
        }
    }
}

fn content_size(content: &Content) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    match content {
        Content::Text(text) => text.len(),
        Content::Image(media) | Content::Audio(media) => media.data.len() + media.mime_type.len(),
        Content::Resource(resource) => {
            let body = match &resource.body {
                ResourceBody::Text(text) => text.len(),
                ResourceBody::Blob(bytes) => bytes.len(),
            };
            body + resource.uri.len() + text(&resource.mime_type)
        }
        Content::Link(link) => link.uri.len() + link.name.len() + text(&link.description) + text(&link.mime_type),
    }
}

fn question_size(question: &Question) -> usize {
    let asked = match &question.kind {
        QuestionKind::Form(form) => form.message.len() + form.schema.len(),
        QuestionKind::Visit(visit) => visit.message.len() + visit.url.len(),
        QuestionKind::Sample(params) => params.len(),
        QuestionKind::Roots => 0,
    };
    question.id.len() + asked
}
