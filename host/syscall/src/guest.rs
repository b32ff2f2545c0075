//! What the house asks of a bundle, and what comes back: `wit/tools.wit`, `wit/prompts.wit`,
//! `wit/resources.wit` and the words of `wit/types.wit`.

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Engine, Store};

use crate::Cell;
use crate::bindings::exports::certosa::tools as exports;
use crate::tools::Tools;

use crate::bindings::certosa::tools::types::{self, Outcome as ToolOutcome};
pub use crate::bindings::certosa::tools::types::{
    Annotations, Answer, Askable, Call, Completing, Completion, Content, Form, Get, GetOutcome, Hints, Media, Prompt,
    PromptArgument, PromptMessage, PromptResult, Question, QuestionKind, Questions, Read, ReadOutcome, Refusal,
    Resource, ResourceBody, ResourceContents, ResourceLink, ResourceTemplate, Role, Tool, ToolResult, Visit,
};

impl types::Host for Cell {}

/// A component that is linked: all that is left to do for a cell is to instantiate it. Each of the three
/// interfaces is there if the bundle chose to export it.
pub struct Linked {
    instance: InstancePre<Cell>,
    tools: Option<Tools>,
    prompts: Option<exports::prompts::GuestIndices>,
    resources: Option<exports::resources::GuestIndices>,
}

/// Everything that a bundle offers, as it says itself.
#[derive(Debug, Default)]
pub struct Offer {
    pub tools: Vec<Tool>,
    pub prompts: Vec<Prompt>,
    pub resources: Vec<Resource>,
    pub templates: Vec<ResourceTemplate>,
}

/// What a cell is made for.
#[derive(Debug)]
pub enum Task {
    Call(Call),
    Get(Get),
    Read(Read),
    CompletePrompt(Completing),
    CompleteResource(Completing),
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    Tool(ToolResult),
    Prompt(PromptResult),
    Resource(Vec<ResourceContents>),
    Completion(Completion),
    /// The cell ended with questions; another one gets the answers.
    InputRequired(Questions),
}

/// The exports that make a component a bundle.
pub const EXPORTS: [&str; 3] =
    ["certosa:tools/tools@0.1.0", "certosa:tools/prompts@0.1.0", "certosa:tools/resources@0.1.0"];

impl Linked {
    /// Finds the exports of a component. One that is there and has another type than ours is an error.
    pub fn new(instance: InstancePre<Cell>) -> wasmtime::Result<Self> {
        let component = instance.component();
        let [_, prompts, resources] = EXPORTS.map(|name| component.get_export_index(None, name).is_some());
        Ok(Self {
            tools: Tools::find(&instance)?,
            prompts: prompts.then(|| exports::prompts::GuestIndices::new(&instance)).transpose()?,
            resources: resources.then(|| exports::resources::GuestIndices::new(&instance)).transpose()?,
            instance,
        })
    }

    pub fn engine(&self) -> &Engine {
        self.instance.engine()
    }

    /// Makes an instance in a store. It may run code of the guest.
    pub async fn instantiate(&self, store: &mut Store<Cell>) -> wasmtime::Result<Instance> {
        self.instance.instantiate_async(store).await
    }

    /// Asks the bundle for everything that it offers.
    pub async fn list(&self, store: &mut Store<Cell>) -> wasmtime::Result<Result<Offer, Refusal>> {
        let instance = self.instantiate(store).await?;
        let mut offer = Offer::default();
        if let Some(tools) = &self.tools {
            match tools.list(&mut *store, &instance).await? {
                Ok(listed) => offer.tools = listed,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        if let Some(prompts) = &self.prompts {
            match prompts.load(&mut *store, &instance)?.call_list_prompts(&mut *store).await? {
                Ok(listed) => offer.prompts = listed,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        if let Some(resources) = &self.resources {
            match resources.load(&mut *store, &instance)?.call_list_resources(&mut *store).await? {
                Ok(listed) => (offer.resources, offer.templates) = (listed.resources, listed.templates),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(offer))
    }

    /// Does one task. The outcome of a task for an interface that is not exported is [`Refusal::Unknown`].
    pub async fn run(
        &self,
        store: &mut Store<Cell>,
        instance: &Instance,
        task: &Task,
    ) -> wasmtime::Result<Result<Outcome, Refusal>> {
        match (task, &self.tools, &self.prompts, &self.resources) {
            (Task::Call(call), Some(tools), ..) => Ok(tools.call(store, instance, call).await?.map(Outcome::from)),
            (Task::Get(get), _, Some(prompts), _) => {
                let prompts = prompts.load(&mut *store, instance)?;
                Ok(prompts.call_get_prompt(store, get).await?.map(Outcome::from))
            }
            (Task::CompletePrompt(completing), _, Some(prompts), _) => {
                let prompts = prompts.load(&mut *store, instance)?;
                Ok(prompts.call_complete(store, completing).await?.map(Outcome::Completion))
            }
            (Task::Read(read), .., Some(resources)) => {
                let resources = resources.load(&mut *store, instance)?;
                Ok(resources.call_read_resource(store, read).await?.map(Outcome::from))
            }
            (Task::CompleteResource(completing), .., Some(resources)) => {
                let resources = resources.load(&mut *store, instance)?;
                Ok(resources.call_complete(store, completing).await?.map(Outcome::Completion))
            }
            _ => Ok(Err(Refusal::Unknown)),
        }
    }
}

impl From<ToolOutcome> for Outcome {
    fn from(outcome: ToolOutcome) -> Self {
        match outcome {
            ToolOutcome::Done(result) => Self::Tool(result),
            ToolOutcome::InputRequired(questions) => Self::InputRequired(questions),
        }
    }
}

impl From<GetOutcome> for Outcome {
    fn from(outcome: GetOutcome) -> Self {
        match outcome {
            GetOutcome::Done(result) => Self::Prompt(result),
            GetOutcome::InputRequired(questions) => Self::InputRequired(questions),
        }
    }
}

impl From<ReadOutcome> for Outcome {
    fn from(outcome: ReadOutcome) -> Self {
        match outcome {
            ReadOutcome::Done(contents) => Self::Resource(contents),
            ReadOutcome::InputRequired(questions) => Self::InputRequired(questions),
        }
    }
}

impl Outcome {
    /// How many bytes of text and data it carries.
    pub fn size(&self) -> usize {
        match self {
            Self::Tool(result) => {
                let content = result.content.iter().map(content_size).sum::<usize>();
                content + text_size(result.structured.as_ref())
            }
            Self::Prompt(result) => {
                let messages = result.messages.iter().map(|message| content_size(&message.content)).sum::<usize>();
                messages + text_size(result.description.as_ref())
            }
            Self::Resource(contents) => contents.iter().map(contents_size).sum(),
            Self::Completion(completion) => completion.values.iter().map(String::len).sum(),
            Self::InputRequired(questions) => {
                let asked = questions.ask.iter().map(question_size).sum::<usize>();
                asked + questions.state.as_ref().map_or(0, Vec::len)
            }
        }
    }
}

fn text_size(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

fn content_size(content: &Content) -> usize {
    match content {
        Content::Text(text) => text.len(),
        Content::Image(media) | Content::Audio(media) => media.data.len() + media.mime_type.len(),
        Content::Resource(contents) => contents_size(contents),
        Content::Link(link) => {
            link.uri.len() + link.name.len() + text_size(link.description.as_ref()) + text_size(link.mime_type.as_ref())
        }
    }
}

fn contents_size(contents: &ResourceContents) -> usize {
    let body = match &contents.body {
        ResourceBody::Text(text) => text.len(),
        ResourceBody::Blob(bytes) => bytes.len(),
    };
    body + contents.uri.len() + text_size(contents.mime_type.as_ref())
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
