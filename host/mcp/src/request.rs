//! A request of one of the methods that both eras have, from its parameters to its answer.

use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use certosa_house::{Ask, Call, CallError, List, Route, Typing, Way};
use certosa_model::{BundleName, Event, Kind as Offered, LogLevel, TraceParent};
use certosa_syscall::Hearing;
use certosa_syscall::guest::{Answer as CellAnswer, Askable, Outcome};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::catalog::Catalog;
use crate::exchange::{Answer, Kind, Message, Outbox};
use crate::face::{Face, unknown_method};
use crate::headers;
use crate::params::{Params, capability};
use crate::render;
use crate::rpc::{self, Code, quoted, response};
use crate::sessions::Open;
use crate::state::Bound;
use crate::versions::Version;

/// A request after the checks of its era.
pub(crate) struct Request<'a> {
    pub face: &'a Face,
    pub version: Version,
    pub message: &'a Message,
    pub route: Route<'a>,
    pub id: &'a str,
    pub params: &'a Params<'a>,
    /// The session of an older client.
    pub session: Option<&'a Open<'a>>,
    /// What the client can be asked.
    pub askable: Askable,
    /// The mildest log messages that the client wants.
    pub log: Option<LogLevel>,
    pub outbox: &'a Outbox,
}

/// How long clients may keep a listing, and what a house says about itself. Most houses change neither while they
/// are open; where lists change, those who listen hear of it sooner.
pub(crate) const LIST_HINTS: &str = r#""ttlMs":60000,"cacheScope":"private","#;
/// A resource may have changed the next time it is read.
const READ_HINTS: &str = r#""ttlMs":0,"cacheScope":"private","#;
/// A guest that does not wait says everything before anybody listens: all its log messages, and some steps.
const EVENTS_MAX: usize = 512;
/// How often one call may ask an older client something, one time after the other.
const ROUNDS_MAX: usize = 16;

impl Request<'_> {
    /// Answers the methods that both eras have.
    pub(crate) async fn answer(&self, method: &str) -> Answer {
        match method {
            "tools/list" => self.list(List::Tools),
            "prompts/list" => self.list(List::Prompts),
            "resources/list" => self.list(List::Resources),
            "resources/templates/list" => self.list(List::Templates),
            "tools/call" => self.call_tool().await,
            "prompts/get" => self.get_prompt().await,
            "resources/read" => self.read_resource().await,
            "completion/complete" => self.complete().await,
            method => unknown_method(self.id, method, self.refusal(Kind::UnknownMethod)),
        }
    }

    fn list(&self, list: List) -> Answer {
        let mut failed = None;
        let body = response(self.id, |body| {
            body.extend_from_slice(self.opening().as_bytes());
            body.extend_from_slice(self.hints(LIST_HINTS).as_bytes());
            let cursor = self.params.cursor.as_deref();
            failed = self.face.catalog().write_page(self.route, list, &self.message.caller, cursor, body).err();
            body.push(b'}');
        });
        match failed {
            None => Answer::reply(Kind::Result, body),
            Some(why) => self.invalid(&why),
        }
    }

    async fn call_tool(&self) -> Answer {
        let Some(name) = self.params.name.as_deref() else {
            return self.invalid("tools/call needs \"name\"");
        };
        let arguments = self.params.arguments.map_or("{}", RawValue::get);
        if !arguments.starts_with('{') {
            return self.invalid("\"arguments\" is not an object");
        }
        let catalog = self.face.catalog();
        if let Err(mismatch) = self.check_headers(name).and_then(|()| self.check_params(&catalog, name, arguments)) {
            return mismatch;
        }
        self.act(catalog, Ask::Tool { name, arguments }, arguments).await
    }

    async fn get_prompt(&self) -> Answer {
        let Some(name) = self.params.name.as_deref() else {
            return self.invalid("prompts/get needs \"name\"");
        };
        if let Err(mismatch) = self.check_headers(name) {
            return mismatch;
        }
        let text = self.params.arguments.map_or("{}", RawValue::get);
        let arguments = match texts(text) {
            Ok(arguments) => arguments,
            Err(why) => return self.invalid(&format!("the arguments of a prompt: {why}")),
        };
        self.act(self.face.catalog(), Ask::Prompt { name, arguments: &arguments }, text).await
    }

    async fn read_resource(&self) -> Answer {
        let Some(uri) = self.params.uri.as_deref() else {
            return self.invalid("resources/read needs \"uri\"");
        };
        if let Err(mismatch) = self.check_headers(uri) {
            return mismatch;
        }
        self.act(self.face.catalog(), Ask::Resource { uri }, "{}").await
    }

    async fn complete(&self) -> Answer {
        let (Some(reference), Some(argument)) = (&self.params.reference, &self.params.argument) else {
            return self.invalid("completion/complete needs \"ref\" and \"argument\"");
        };
        let context = self.params.context.as_ref().and_then(|context| context.arguments);
        let context = match context.map_or(Ok(Vec::new()), |context| texts(context.get())) {
            Ok(context) => context,
            Err(why) => return self.invalid(&format!("the arguments of the context: {why}")),
        };
        let typing = Typing { argument: &argument.name, value: &argument.value, context: &context };
        let ask = match (&*reference.kind, reference.name.as_deref(), reference.uri.as_deref()) {
            ("ref/prompt", Some(name), _) => Ask::CompletePrompt { name, typing },
            ("ref/resource", _, Some(template)) => Ask::CompleteTemplate { template, typing },
            _ => return self.invalid("\"ref\" is of type ref/prompt with a name, or ref/resource with a uri"),
        };
        self.act(self.face.catalog(), ask, "{}").await
    }

    /// Asks the house, and the client where the house needs to know something, until there is an answer. What the
    /// house offers is looked at in `catalog`, by each round that follows a question in that of its time.
    async fn act(&self, mut catalog: Arc<Catalog>, ask: Ask<'_>, arguments: &str) -> Answer {
        if self.token().is_some_and(|token| !rpc::is_id(token)) {
            return self.invalid("a progressToken is a string or an integer of at most 256 bytes");
        }
        let mut round = match self.resumed(&catalog, &ask, arguments) {
            Ok(round) => round,
            Err(why) => return self.invalid(&why),
        };
        for _ in 0..ROUNDS_MAX {
            let (hearing, mut events) = self.hearing();
            let call = self.face.house.call(Call {
                way: self.message.way,
                caller: &self.message.caller,
                route: catalog.view(self.route),
                ask,
                answers: round.answers,
                state: round.state,
                askable: self.askable,
                hearing,
                trace: self.trace(),
            });
            let reply = match self.listen(pin!(call), &mut events).await {
                Ok(recorded) => recorded.into_inner(),
                Err(error) => return self.unavailable(&error.to_string()),
            };
            if let Some(news) = &reply.news {
                self.face.hub.updated(&self.face.house, &self.face.catalog(), news);
            }
            let questions = match reply.result {
                Ok(Outcome::InputRequired(questions)) => questions,
                result => return self.finished(&ask, result),
            };
            let bundle = self.source(&catalog, &ask).cloned();
            let Some(session) = self.session else {
                return self.pass_on(&questions, &self.bound(bundle.as_ref(), &ask, arguments));
            };
            // A person may take long to answer. Nothing old is kept for that, and what is gone then is gone.
            drop(catalog);
            match self.ask_client(session, &questions).await {
                Ok(answers) => round = Round { answers, state: questions.state },
                Err(why) => return self.finished(&ask, Err(CallError::Unanswered(why))),
            }
            catalog = self.face.catalog();
            if self.source(&catalog, &ask) != bundle.as_ref() {
                return self.finished(&ask, Err(CallError::Unknown(ask.kind())));
            }
        }
        let why = format!("more was asked than {ROUNDS_MAX} times");
        self.finished(&ask, Err(CallError::Bundle(why)))
    }

    fn finished(&self, ask: &Ask<'_>, result: Result<Outcome, CallError>) -> Answer {
        match result {
            Ok(Outcome::Tool(result)) => self.result(|body| render::write_tool_result(&result, self.version, body)),
            Ok(Outcome::Prompt(result)) => self.result(|body| render::write_prompt(&result, self.version, body)),
            Ok(Outcome::Resource(contents)) => self.result(|body| {
                body.extend_from_slice(self.hints(READ_HINTS).as_bytes());
                render::write_contents(&contents, body);
            }),
            Ok(Outcome::Completion(completion)) => self.result(|body| render::write_completion(&completion, body)),
            // Questions were dealt with before.
            Ok(Outcome::InputRequired(_)) => self.invalid("nothing can be asked here"),
            Err(CallError::Unknown(kind)) => self.unknown(kind, ask.name()),
            Err(error @ CallError::CannotAsk(kind)) if self.session.is_none() => self.cannot_ask(kind, &error),
            Err(error) if matches!(ask, Ask::Tool { .. }) => self.result(|body| render::write_tool_error(&error, body)),
            Err(CallError::Arguments(why)) => self.invalid(&why),
            Err(error) => {
                let data = format!(r#"{{"certosa/refusal":{}}}"#, render::refusal(&error));
                self.error(self.refusal(Kind::Invalid), Code::Internal, &error.to_string(), Some(&data))
            }
        }
    }

    /// There is no such thing here, or not for this caller.
    pub(crate) fn unknown(&self, kind: Offered, name: &str) -> Answer {
        match kind {
            Offered::Resource => {
                let code = if self.version.is_legacy() { Code::ResourceNotFound } else { Code::InvalidParams };
                let data = format!(r#"{{"uri":{}}}"#, quoted(name));
                let why = format!("there is no such resource: {name}");
                self.error(self.refusal(Kind::Invalid), code, &why, Some(&data))
            }
            kind => self.invalid(&format!("unknown {}: {name}", kind.as_str())),
        }
    }

    /// Drives the call, and passes on what comes out of the cell before its result.
    async fn listen<T>(
        &self,
        mut call: Pin<&mut impl Future<Output = T>>,
        events: &mut Option<mpsc::Receiver<Event>>,
    ) -> T {
        let Some(events) = events else { return call.await };
        let token = self.token();
        let pass_on = |event: &Event| render::event(event, token).into_iter().for_each(|text| self.outbox.push(text));
        let ended = loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => pass_on(&event),
                ended = &mut call => break ended,
            }
        };
        while let Ok(event) = events.try_recv() {
            pass_on(&event);
        }
        ended
    }

    fn hearing(&self) -> (Hearing, Option<mpsc::Receiver<Event>>) {
        let progress = self.token().is_some();
        if !progress && self.log.is_none() {
            return (Hearing::default(), None);
        }
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        (Hearing { progress, log: self.log, events: Some(sender) }, Some(receiver))
    }

    /// The text of the progress token.
    fn token(&self) -> Option<&str> {
        Some(self.params.meta.as_ref()?.progress_token?.get())
    }

    fn trace(&self) -> Option<TraceParent> {
        TraceParent::parse(self.params.meta.as_ref()?.traceparent.as_deref()?)
    }

    /// The bundle that answers this for this caller.
    fn source<'c>(&'c self, catalog: &'c Catalog, ask: &Ask<'_>) -> Option<&'c BundleName> {
        catalog.view(self.route).source(&self.message.caller, ask)
    }

    /// What a state of `bundle` is bound to. One name may stand for another bundle in the next round.
    fn bound<'b>(&'b self, bundle: Option<&'b BundleName>, ask: &Ask<'b>, arguments: &'b str) -> Bound<'b> {
        Bound {
            caller: self.message.caller.subject(),
            route: &self.route.plan().path,
            bundle: bundle.map_or("", BundleName::as_str),
            kind: ask.kind(),
            name: ask.name(),
            arguments,
        }
    }

    /// What the client brought along from the round before.
    fn resumed(&self, catalog: &Catalog, ask: &Ask<'_>, arguments: &str) -> Result<Round, String> {
        // An older client answers what it was asked in its session, and nothing else.
        if self.version.is_legacy() {
            return Ok(Round::default());
        }
        let open = |text: &str| {
            // Whoever asks for what is not there hears that, from the house.
            let Some(bundle) = self.source(catalog, ask) else { return Ok(None) };
            match self.face.seal.open(text, &self.bound(Some(bundle), ask, arguments)) {
                Some(state) => Ok(Some(state)),
                None => Err("this requestState was not given for this request, or is too old".to_owned()),
            }
        };
        let state = self.params.request_state.as_deref().map_or(Ok(None), open)?;
        let responses = self.params.input_responses.iter().flatten();
        let answer = |(id, value): (&String, &&RawValue)| match certosa_model::parse_json(value.get()) {
            Ok(_) => Ok(CellAnswer { id: id.clone(), value: value.get().to_owned() }),
            Err(error) => Err(format!("inputResponses: {error}")),
        };
        Ok(Round { answers: responses.map(answer).collect::<Result<_, _>>()?, state })
    }

    /// The header of 2026-07-28 that repeats the name.
    fn check_headers(&self, name: &str) -> Result<(), Answer> {
        match self.has_headers() {
            true => headers::check_name(&self.message.headers, name).map_err(|why| self.mismatch(&why)),
            false => Ok(()),
        }
    }

    /// The headers of 2026-07-28 that repeat arguments of a tool.
    fn check_params(&self, catalog: &Catalog, name: &str, arguments: &str) -> Result<(), Answer> {
        if !self.has_headers() {
            return Ok(());
        }
        let Some(wanted) = catalog.params(self.route) else { return Ok(()) };
        let tool = catalog.view(self.route).item(List::Tools, &self.message.caller, name);
        let Some(params) = tool.and_then(|tool| wanted.get(tool.subject)) else { return Ok(()) };
        let arguments = certosa_model::parse_json(arguments).unwrap_or_default();
        headers::check_params(&self.message.headers, params, &arguments).map_err(|why| self.mismatch(&why))
    }

    fn has_headers(&self) -> bool {
        !self.version.is_legacy() && self.message.way == Way::Http
    }

    fn mismatch(&self, why: &str) -> Answer {
        self.error(Kind::Invalid, Code::HeaderMismatch, why, None)
    }

    /// The client cannot be asked what has to be asked, and hears what it would have to be able to do.
    fn cannot_ask(&self, kind: Askable, error: &CallError) -> Answer {
        let data = format!(r#"{{"requiredCapabilities":{}}}"#, capability(kind));
        self.error(Kind::Invalid, Code::MissingCapability, &error.to_string(), Some(&data))
    }

    fn hints(&self, hints: &'static str) -> &'static str {
        if self.version.is_legacy() { "" } else { hints }
    }

    /// How a result begins: the modern era says that it is complete.
    fn opening(&self) -> &'static str {
        if self.version.is_legacy() { "{" } else { r#"{"resultType":"complete","# }
    }

    /// A result with at least one member.
    pub(crate) fn result(&self, write: impl FnOnce(&mut Vec<u8>)) -> Answer {
        let body: Bytes = response(self.id, |body| {
            body.extend_from_slice(self.opening().as_bytes());
            write(body);
            body.push(b'}');
        });
        Answer::reply(Kind::Result, body)
    }

    pub(crate) fn invalid(&self, why: &str) -> Answer {
        self.error(self.refusal(Kind::Invalid), Code::InvalidParams, why, None)
    }

    fn error(&self, kind: Kind, code: Code, why: &str, data: Option<&str>) -> Answer {
        Answer::reply(kind, rpc::error(Some(self.id), code, why, data))
    }

    /// In the older era errors of a method travel like results.
    fn refusal(&self, kind: Kind) -> Kind {
        if self.version.is_legacy() { Kind::Result } else { kind }
    }

    pub(crate) fn unavailable(&self, why: &str) -> Answer {
        self.error(Kind::Unavailable, Code::Internal, why, None)
    }
}

/// An object whose members are all texts.
fn texts(object: &str) -> Result<Vec<(String, String)>, String> {
    let value = certosa_model::parse_json(object).map_err(|error| error.to_string())?;
    let Value::Object(members) = value else { return Err("they are not an object".to_owned()) };
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(format!("{name:?} is not one of strings")),
    };
    members.into_iter().map(text).collect()
}

/// What one round of a call takes from the round before.
#[derive(Default)]
struct Round {
    answers: Vec<CellAnswer>,
    state: Option<Vec<u8>>,
}
