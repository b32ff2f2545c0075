use std::collections::HashSet;
use std::fmt;

use certosa_isolate::CellError;
use certosa_model::{Fault, Limit, Usage};
use certosa_policy::{Caller, Denial, Permit, Target, decide};
use certosa_syscall::Hearing;
use certosa_syscall::tools::{
    Answer, Askable, Call as CellCall, Outcome, QuestionKind, Questions, Refusal, ToolResult,
};
use serde::Serialize;

use crate::house::{Bundle, House, LoadedTool, RouteView};
use crate::json;
use crate::record::{self, Line, Recorded, Recorder, RecorderError};

/// One call, as a way in hands it over.
pub struct Call<'a> {
    pub way: Way,
    pub caller: &'a Caller,
    pub route: RouteView<'a>,
    /// The tool, as it is called on this route.
    pub tool: &'a str,
    /// A JSON object.
    pub arguments: &'a str,
    pub answers: Vec<Answer>,
    pub state: Option<Vec<u8>>,
    /// What the client can be asked.
    pub askable: Askable,
    pub hearing: Hearing,
}

/// The way by which a call came in; for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    Http,
    /// `certosa call`, in the process of whoever runs it.
    Cli,
}

/// Why a call has no outcome. The text is for the caller.
#[derive(Debug, Clone)]
pub enum CallError {
    /// There is no such tool here for this caller; a denial looks the same.
    UnknownTool,
    /// The arguments are not what the tool takes.
    Arguments(String),
    /// The line is full; the same call may work in this many milliseconds.
    Busy { retry_after_ms: u32, bound: u64 },
    /// The cell went past a limit, whose bound is in the unit of its field in the manifest.
    Limit(Limit, u64),
    /// The bundle broke off, or broke its word.
    Bundle(String),
    /// The bundle refused to try, and says why.
    Declined(String),
    /// The bundle needs to ask something that this client cannot be asked.
    CannotAsk(Askable),
    /// The house could not do its part.
    Host(String),
}

const RETRY_AFTER_MS: u32 = 1000;
const QUESTIONS_MAX: usize = 16;
const QUESTION_ID_BYTES_MAX: usize = 64;
const STATE_BYTES_MAX: usize = 8 << 10;

/// How much a record keeps of a text that others wrote.
const TEXT_BYTES_MAX: usize = 300;

impl House {
    /// The one way in. The answer is made from what is returned, so there is none without a record.
    pub async fn call(&self, call: Call<'_>) -> Result<Recorded<Result<Outcome, CallError>>, RecorderError> {
        self.recorder.check()?;
        let mut pending = Pending::new(self, &call);
        let (permit, bundle, tool) = match self.permit(&call) {
            Ok(found) => found,
            Err(denial) => {
                let reason = denial.map_or_else(|| "no such tool".to_owned(), |denial| denial.to_string());
                return Ok(pending.refuse(CallError::UnknownTool, reason));
            }
        };
        pending.found(bundle);
        if let Err(wrong) = check_arguments(tool, call.arguments) {
            return Ok(
                pending.refuse(CallError::Arguments(wrong), "the arguments do not fit the input schema".to_owned())
            );
        }
        let places = async { Ok((bundle.line.enter().await?, self.line.enter().await?)) };
        let Ok(_places) = places.await.map_err(|_: crate::line::Full| ()) else {
            let error = CallError::Busy { retry_after_ms: RETRY_AFTER_MS, bound: bundle.limits.queue_max as u64 };
            return Ok(pending.refuse(error, "the line is full".to_owned()));
        };
        let request = CellCall {
            name: permit.tool_name().to_owned(),
            arguments: call.arguments.to_owned(),
            answers: call.answers,
            state: call.state,
            askable: call.askable,
        };
        let end = self.machine.call(&bundle.image, &permit, &request, &bundle.limits, call.hearing).await;
        let result = match end.result {
            Ok(outcome) => check_outcome(tool, outcome, call.askable),
            Err(error) => Err(CallError::of_cell(error, bundle, tool)),
        };
        Ok(pending.finish(result, end.usage))
    }

    /// Finds the tool and asks the gate. Which of the two said no is for the record only.
    fn permit<'a>(&'a self, call: &Call<'a>) -> Result<(Permit<'a>, &'a Bundle, &'a LoadedTool), Option<Denial>> {
        let mut denial = None;
        for (bundle, tool) in call.route.named(call.tool) {
            let target = Target { route: call.route.plan(), tool: &tool.subject };
            match decide(&self.plan, call.caller, &target) {
                Ok(permit) => return Ok((permit, bundle, tool)),
                Err(why) => denial = Some(why),
            }
        }
        Err(denial)
    }
}

fn check_arguments(tool: &LoadedTool, arguments: &str) -> Result<(), String> {
    let value = json::parse(arguments).map_err(|error| format!("they are not JSON: {error}"))?;
    tool.input.check(&value)
}

/// A bundle keeps its word: what it calls structured fits its schema, and what it asks can be asked.
fn check_outcome(tool: &LoadedTool, outcome: Outcome, askable: Askable) -> Result<Outcome, CallError> {
    let checked = match &outcome {
        Outcome::Done(result) => check_structured(tool, result),
        Outcome::InputRequired(questions) => {
            if let Some(kind) =
                questions.ask.iter().map(|question| kind_of(&question.kind)).find(|kind| !askable.contains(*kind))
            {
                return Err(CallError::CannotAsk(kind));
            }
            check_questions(questions)
        }
    };
    match checked {
        Ok(()) => Ok(outcome),
        Err(why) => Err(CallError::Bundle(format!("{} {why}", tool.tool.name))),
    }
}

fn check_structured(tool: &LoadedTool, result: &ToolResult) -> Result<(), String> {
    let text = match (&result.structured, &tool.output) {
        (None, Some(_)) if !result.is_error => return Err("promised structured content and gave none".to_owned()),
        (None, _) => return Ok(()),
        (Some(text), _) => text,
    };
    let value = json::parse(text).map_err(|error| format!("gave structured content that is not JSON: {error}"))?;
    if !value.is_object() {
        return Err("gave structured content that is not a JSON object".to_owned());
    }
    match tool.output.as_ref().map_or(Ok(()), |schema| schema.check(&value)) {
        Err(wrong) if !result.is_error => {
            Err(format!("gave structured content that does not fit its own output schema: {wrong}"))
        }
        _ => Ok(()),
    }
}

fn check_questions(questions: &Questions) -> Result<(), String> {
    if !(1..=QUESTIONS_MAX).contains(&questions.ask.len()) {
        return Err(format!("asked {} questions, where 1 to {QUESTIONS_MAX} are allowed", questions.ask.len()));
    }
    if questions.state.as_ref().is_some_and(|state| state.len() > STATE_BYTES_MAX) {
        return Err(format!("asked with a state of more than {STATE_BYTES_MAX} bytes"));
    }
    let mut ids = HashSet::new();
    for question in &questions.ask {
        if !(1..=QUESTION_ID_BYTES_MAX).contains(&question.id.len()) || !ids.insert(question.id.as_str()) {
            return Err("asked questions whose ids are not distinct, or not 1 to 64 bytes long".to_owned());
        }
        let parameters = match &question.kind {
            QuestionKind::Form(form) => &form.schema,
            QuestionKind::Sample(parameters) => parameters,
            QuestionKind::Visit(_) | QuestionKind::Roots => continue,
        };
        if !json::parse(parameters).is_ok_and(|value| value.is_object()) {
            return Err(format!("asked question {:?} with something that is not a JSON object", question.id));
        }
    }
    Ok(())
}

fn kind_of(kind: &QuestionKind) -> Askable {
    match kind {
        QuestionKind::Form(_) => Askable::FORM,
        QuestionKind::Visit(_) => Askable::VISIT,
        QuestionKind::Sample(_) => Askable::SAMPLE,
        QuestionKind::Roots => Askable::ROOTS,
    }
}

impl CallError {
    fn of_cell(error: CellError, bundle: &Bundle, tool: &LoadedTool) -> Self {
        match error {
            CellError::Limit(limit, bound) => Self::Limit(limit, bound),
            CellError::Trap(seen, trace) => {
                tracing::warn!(tool = %tool.subject, "{seen}\n{trace}");
                Self::Bundle(seen)
            }
            CellError::Refused(Refusal::InvalidArguments(why)) => Self::Arguments(why),
            CellError::Refused(Refusal::Failed(why)) => Self::Declined(why),
            CellError::Refused(Refusal::UnknownTool) => {
                Self::Bundle(format!("{} does not know the tool that it listed", bundle.name))
            }
            CellError::Host(why) => Self::Host(why),
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::UnknownTool | Self::Arguments(_) | Self::CannotAsk(_) => Fault::Caller,
            Self::Limit(..) | Self::Bundle(_) | Self::Declined(_) => Fault::Bundle,
            Self::Busy { .. } => Fault::Operator,
            Self::Host(_) => Fault::Host,
        }
    }

    fn outcome(&self) -> record::Outcome {
        match self {
            Self::UnknownTool | Self::Arguments(_) | Self::Busy { .. } | Self::Declined(_) | Self::CannotAsk(_) => {
                record::Outcome::Refused
            }
            Self::Limit(limit, _) => record::Outcome::of_limit(*limit),
            Self::Bundle(_) => record::Outcome::Trap,
            Self::Host(_) => record::Outcome::Fault,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTool => f.write_str("there is no such tool here"),
            Self::Arguments(wrong) => write!(f, "the arguments do not fit this tool: {wrong}"),
            Self::Busy { retry_after_ms, bound } => write!(
                f,
                "too many calls are running, and as many as may (queueMax = {bound}) are waiting, or waited too long: try again in {retry_after_ms} ms"
            ),
            Self::Limit(limit, bound) => {
                let what = match limit {
                    Limit::Memory => "needed more memory than it may have",
                    Limit::Cpu => "computed for longer than it may",
                    Limit::Wall => "took longer than it may",
                    Limit::Stack => "nested its calls deeper than it may",
                    Limit::Output => "returned more than it may",
                    Limit::Concurrency => "was called more often than it may",
                };
                write!(f, "the tool {what} ({} = {bound}, set by the operator) and was ended", limit.field())
            }
            Self::Bundle(why) | Self::Declined(why) => write!(f, "the tool failed: {why}"),
            Self::CannotAsk(_) => f.write_str("the tool needs to ask something that this client cannot be asked"),
            Self::Host(why) => write!(f, "the host failed: {why}"),
        }
    }
}

impl std::error::Error for CallError {}

/// A call between its arrival and its record. If it is dropped before, the caller went away, and that is
/// recorded too.
struct Pending<'a> {
    recorder: &'a Recorder,
    line: Line<'a>,
    recorded: bool,
}

impl<'a> Pending<'a> {
    fn new(house: &'a House, call: &Call<'a>) -> Self {
        let line = Line {
            time: record::now(),
            signed: false,
            way: call.way,
            caller: call.caller.subject(),
            route: &call.route.plan().path,
            bundle: None,
            component: None,
            tool: shorten(call.tool),
            plan: house.plan.digest,
            outcome: record::Outcome::Cancelled,
            reason: None,
            usage: Usage::default(),
        };
        Self { recorder: &house.recorder, line, recorded: false }
    }

    fn found(&mut self, bundle: &'a Bundle) {
        self.line.bundle = Some(bundle.name.as_str());
        self.line.component = Some(bundle.digest);
    }

    fn refuse<T>(self, error: CallError, reason: String) -> Recorded<Result<T, CallError>> {
        self.record(error.outcome(), Some(reason), Usage::default(), Err(error))
    }

    fn finish(self, result: Result<Outcome, CallError>, usage: Usage) -> Recorded<Result<Outcome, CallError>> {
        let (outcome, reason) = match &result {
            Ok(Outcome::Done(done)) if done.is_error => (record::Outcome::ToolError, None),
            Ok(Outcome::Done(_)) => (record::Outcome::Done, None),
            Ok(Outcome::InputRequired(_)) => (record::Outcome::InputRequired, None),
            Err(error @ CallError::Limit(limit, _)) => (error.outcome(), Some(limit.as_str().to_owned())),
            Err(error) => (error.outcome(), Some(error.to_string())),
        };
        self.record(outcome, reason, usage, result)
    }

    fn record<T>(mut self, outcome: record::Outcome, reason: Option<String>, usage: Usage, value: T) -> Recorded<T> {
        self.line.outcome = outcome;
        self.line.reason = reason.map(|reason| shorten(&reason).to_owned());
        self.line.usage = usage;
        self.recorded = true;
        self.recorder.record(&self.line, value)
    }
}

fn shorten(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.recorded {
            self.recorder.record(&self.line, ());
        }
    }
}
