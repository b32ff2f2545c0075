//! `tools/list` and `tools/call`, the same for both eras but for a few members.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use certosa_house::{Call, CallError, RouteView, Way};
use certosa_model::{Event, LogLevel};
use certosa_policy::Caller;
use certosa_syscall::Hearing;
use certosa_syscall::tools::{Answer as CellAnswer, Askable, Outcome, Questions};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::exchange::{Answer, Kind, Outbox};
use crate::face::{Face, unknown_method};
use crate::headers;
use crate::render;
use crate::rpc::{self, Code, response};
use crate::state::Bound;

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Modern,
    Legacy,
}

/// The parameters of every method that we serve, read in one go.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params<'a> {
    #[serde(borrow)]
    pub name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub cursor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    pub input_responses: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(borrow)]
    pub request_state: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "_meta")]
    pub meta: Option<Meta<'a>>,
}

/// What a request says about itself.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Meta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    pub version: Option<Cow<'a, str>>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    pub capabilities: Option<Capabilities>,
    #[serde(rename = "io.modelcontextprotocol/logLevel")]
    pub log: Option<LogLevel>,
    #[serde(borrow, rename = "progressToken")]
    pub progress_token: Option<&'a RawValue>,
}

/// What a client can be asked.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Capabilities {
    elicitation: Option<Elicitation>,
    sampling: Option<Object>,
    roots: Option<Object>,
}

#[derive(Debug, Default, Deserialize)]
struct Elicitation {
    form: Option<Object>,
    url: Option<Object>,
}

#[derive(Debug, Default, Deserialize)]
struct Object {}

/// A request of one of our methods, after the checks of its era.
pub(crate) struct Request<'a> {
    pub face: &'a Face,
    pub era: Era,
    pub way: Way,
    pub caller: &'a Caller,
    pub route: RouteView<'a>,
    pub headers: &'a HeaderMap,
    pub id: &'a str,
    pub params: Params<'a>,
    /// The mildest log messages that the client wants.
    pub log: Option<LogLevel>,
    pub outbox: &'a Outbox,
}

/// How long clients may keep a listing. A running house does not change it.
pub(crate) const CACHE_HINTS: &str = r#""ttlMs":60000,"cacheScope":"private","#;
/// A guest that does not wait says everything before anybody listens: all its log messages, and some steps.
const EVENTS_MAX: usize = 512;

impl Request<'_> {
    /// Answers the methods that both eras have.
    pub(crate) async fn answer(self, method: &str) -> Answer {
        match method {
            "tools/list" => self.list(),
            "tools/call" => self.call().await,
            "prompts/list" => self.empty_list("prompts"),
            "resources/list" => self.empty_list("resources"),
            "resources/templates/list" => self.empty_list("resourceTemplates"),
            method => unknown_method(self.id, method, self.refusal(Kind::UnknownMethod)),
        }
    }

    fn list(&self) -> Answer {
        let mut failed = None;
        let body = response(self.id, |body| {
            body.extend_from_slice(self.opening().as_bytes());
            body.extend_from_slice(self.cache_hints().as_bytes());
            let cursor = self.params.cursor.as_deref();
            failed = self.face.catalog.write_page(self.route, self.caller, cursor, body).err();
            body.push(b'}');
        });
        match failed {
            None => Answer::reply(Kind::Result, body),
            Some(why) => self.invalid(&why),
        }
    }

    fn empty_list(&self, what: &str) -> Answer {
        self.result(|body| body.extend_from_slice(format!(r#"{}"{what}":[]"#, self.cache_hints()).as_bytes()))
    }

    async fn call(self) -> Answer {
        let Some(name) = self.params.name.as_deref() else {
            return self.invalid("tools/call needs \"name\"");
        };
        if self.token().is_some_and(|token| !rpc::is_id(token)) {
            return self.invalid("a progressToken is a string or an integer of at most 256 bytes");
        }
        let arguments = self.params.arguments.map_or("{}", RawValue::get);
        if self.era == Era::Modern
            && let Err(why) = self.check_headers(name, arguments)
        {
            return Answer::reply(Kind::Invalid, rpc::error(Some(self.id), Code::HeaderMismatch, &why, None));
        }
        let bound = Bound { caller: self.caller.subject(), route: &self.route.plan().path, tool: name, arguments };
        let state = match self.params.request_state.as_deref().map(|text| self.face.seal.open(text, &bound)) {
            None => None,
            Some(Some(state)) => Some(state),
            Some(None) => return self.invalid("this requestState was not given for this request, or is too old"),
        };
        let answers = match self.answers() {
            Ok(answers) => answers,
            Err(why) => return self.invalid(&why),
        };
        let (hearing, mut events) = self.hearing();
        let call = self.face.house.call(Call {
            way: self.way,
            caller: self.caller,
            route: self.route,
            tool: name,
            arguments,
            answers,
            state,
            askable: self.askable(),
            hearing,
        });
        let recorded = self.listen(call, &mut events).await;
        match recorded {
            Err(error) => self.unavailable(&error.to_string()),
            Ok(recorded) => match recorded.get() {
                Ok(Outcome::Done(result)) => self.result(|body| render::write_result(result, body)),
                Ok(Outcome::InputRequired(questions)) => self.ask(questions, &bound),
                Err(error @ CallError::CannotAsk(kind)) => self.cannot_ask(*kind, error),
                Err(CallError::UnknownTool) => self.invalid(&format!("unknown tool: {name}")),
                Err(error) => self.result(|body| render::write_error(error, body)),
            },
        }
    }

    /// Drives the call, and passes on what comes out of the cell before its result.
    async fn listen<T>(&self, call: impl Future<Output = T>, events: &mut Option<mpsc::Receiver<Event>>) -> T {
        let Some(events) = events else { return call.await };
        let token = self.token();
        let pass_on = |event: &Event| render::event(event, token).into_iter().for_each(|text| self.outbox.push(text));
        let mut call = std::pin::pin!(call);
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

    fn answers(&self) -> Result<Vec<CellAnswer>, String> {
        let responses = self.params.input_responses.iter().flatten();
        let answer = |(id, value): (&String, &&RawValue)| match certosa_house::parse_json(value.get()) {
            Ok(_) => Ok(CellAnswer { id: id.clone(), value: value.get().to_owned() }),
            Err(error) => Err(format!("inputResponses: {error}")),
        };
        responses.map(answer).collect()
    }

    /// What this client can be asked. An older client cannot be asked anything yet.
    fn askable(&self) -> Askable {
        let capabilities = self.params.meta.as_ref().and_then(|meta| meta.capabilities.as_ref());
        let Some(can) = capabilities.filter(|_| self.era == Era::Modern) else { return Askable::empty() };
        let elicitation = can.elicitation.as_ref();
        // An empty object means forms, as it did before there were other modes.
        let form = elicitation.is_some_and(|modes| modes.form.is_some() || modes.url.is_none());
        let visit = elicitation.is_some_and(|modes| modes.url.is_some());
        [
            (form, Askable::FORM),
            (visit, Askable::VISIT),
            (can.sampling.is_some(), Askable::SAMPLE),
            (can.roots.is_some(), Askable::ROOTS),
        ]
        .into_iter()
        .filter_map(|(has, kind)| has.then_some(kind))
        .fold(Askable::empty(), |all, kind| all | kind)
    }

    fn check_headers(&self, name: &str, arguments: &str) -> Result<(), String> {
        headers::check_name(self.headers, name)?;
        let tool = self.route.tool(self.caller, name);
        let entry = tool.and_then(|tool| self.face.catalog.entry(&self.route.plan().path, tool.subject));
        match entry {
            Some(entry) if !entry.params.is_empty() => {
                let arguments = certosa_house::parse_json(arguments).unwrap_or_default();
                headers::check_params(self.headers, &entry.params, &arguments)
            }
            _ => Ok(()),
        }
    }

    /// The client cannot be asked what the tool needs to ask.
    fn cannot_ask(&self, kind: Askable, error: &CallError) -> Answer {
        if self.era == Era::Legacy {
            return self.result(|body| render::write_error(error, body));
        }
        let data = format!(r#"{{"requiredCapabilities":{}}}"#, capability(kind));
        let body = rpc::error(Some(self.id), Code::MissingCapability, &error.to_string(), Some(&data));
        Answer::reply(Kind::Invalid, body)
    }

    /// Passes a tool's questions on to the client.
    fn ask(&self, questions: &Questions, bound: &Bound<'_>) -> Answer {
        let sealed = questions.state.as_ref().map(|state| self.face.seal.close(state, bound));
        if sealed == Some(None) {
            return self.unavailable("the state could not be sealed");
        }
        let body = response(self.id, |body| {
            body.extend_from_slice(br#"{"resultType":"input_required","#);
            render::write_questions(&questions.ask, body);
            if let Some(Some(sealed)) = &sealed {
                body.extend_from_slice(format!(r#","requestState":"{sealed}""#).as_bytes());
            }
            body.push(b'}');
        });
        Answer::reply(Kind::Result, body)
    }

    fn cache_hints(&self) -> &'static str {
        if self.era == Era::Modern { CACHE_HINTS } else { "" }
    }

    /// How a result begins: the modern era says that it is complete.
    fn opening(&self) -> &'static str {
        match self.era {
            Era::Modern => r#"{"resultType":"complete","#,
            Era::Legacy => "{",
        }
    }

    pub(crate) fn result(&self, write: impl FnOnce(&mut Vec<u8>)) -> Answer {
        let body: Bytes = response(self.id, |body| {
            body.extend_from_slice(self.opening().as_bytes());
            write(body);
            body.push(b'}');
        });
        Answer::reply(Kind::Result, body)
    }

    pub(crate) fn invalid(&self, why: &str) -> Answer {
        Answer::reply(self.refusal(Kind::Invalid), rpc::error(Some(self.id), Code::InvalidParams, why, None))
    }

    /// In the older era errors of a method travel like results.
    fn refusal(&self, kind: Kind) -> Kind {
        if self.era == Era::Modern { kind } else { Kind::Result }
    }

    fn unavailable(&self, why: &str) -> Answer {
        Answer::reply(Kind::Unavailable, rpc::error(Some(self.id), Code::Internal, why, None))
    }
}

/// How `ClientCapabilities` says that a client can be asked something.
fn capability(kind: Askable) -> &'static str {
    match kind {
        kind if kind == Askable::FORM => r#"{"elicitation":{"form":{}}}"#,
        kind if kind == Askable::VISIT => r#"{"elicitation":{"url":{}}}"#,
        kind if kind == Askable::SAMPLE => r#"{"sampling":{}}"#,
        _ => r#"{"roots":{}}"#,
    }
}
