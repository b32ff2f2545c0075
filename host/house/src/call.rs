use std::fmt;

use certosa_isolate::CellError;
use certosa_model::{Fault, Limit, Usage};
use certosa_policy::{Caller, Denial, Permit, Target, decide};
use certosa_syscall::Hearing;
use certosa_syscall::tools::{Answer, Askable, Call as CellCall, Outcome, Refusal};
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
    Arguments(Vec<String>),
    /// The line is full; the same call may work in this many milliseconds.
    Busy { retry_after_ms: u32, bound: u64 },
    /// The cell went past a limit, whose bound is in the unit of its field in the manifest.
    Limit(Limit, u64),
    /// The bundle broke off, or broke its word.
    Bundle(String),
    /// The house could not do its part.
    Host(String),
}

const RETRY_AFTER_MS: u32 = 1000;

/// How much of an unknown name a record keeps.
const TOOL_BYTES_MAX: usize = 128;

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
            name: tool.tool.name.clone(),
            arguments: call.arguments.to_owned(),
            answers: call.answers,
            state: call.state,
            askable: call.askable,
        };
        let end = self.machine.call(&bundle.image, &permit, &request, &bundle.limits, call.hearing).await;
        let result = match end.result {
            Ok(outcome) => check_outcome(tool, outcome),
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

fn check_arguments(tool: &LoadedTool, arguments: &str) -> Result<(), Vec<String>> {
    let value = json::parse(arguments).map_err(|error| vec![format!("the arguments are not JSON: {error}")])?;
    tool.input.check(&value)
}

/// A bundle keeps its word: what it calls structured is JSON and fits its schema.
fn check_outcome(tool: &LoadedTool, outcome: Outcome) -> Result<Outcome, CallError> {
    let name = &tool.tool.name;
    match &outcome {
        Outcome::Done(result) => match (&result.structured, &tool.output) {
            (None, Some(_)) if !result.is_error => {
                Err(CallError::Bundle(format!("{name} promised structured content and gave none")))
            }
            (None, _) => Ok(outcome),
            (Some(text), schema) => match json::parse(text) {
                Err(error) => {
                    Err(CallError::Bundle(format!("{name} gave structured content that is not JSON: {error}")))
                }
                Ok(value) if !value.is_object() => {
                    Err(CallError::Bundle(format!("{name} gave structured content that is not a JSON object")))
                }
                Ok(value) => match schema.as_ref().map_or(Ok(()), |schema| schema.check(&value)) {
                    Err(wrong) if !result.is_error => Err(CallError::Bundle(format!(
                        "{name} gave structured content that does not fit its own output schema: {}",
                        wrong.join("; ")
                    ))),
                    _ => Ok(outcome),
                },
            },
        },
        Outcome::InputRequired(questions) => {
            let mut ids = std::collections::HashSet::new();
            let well_formed = (1..=16).contains(&questions.ask.len())
                && questions
                    .ask
                    .iter()
                    .all(|question| (1..=64).contains(&question.id.len()) && ids.insert(question.id.as_str()))
                && questions.state.as_ref().is_none_or(|state| state.len() <= 8 << 10);
            match well_formed {
                true => Ok(outcome),
                false => Err(CallError::Bundle(format!(
                    "{name} asked in a way that cannot be passed on: 1 to 16 questions with distinct ids and at most 8 KiB of state are allowed"
                ))),
            }
        }
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
            CellError::Refused(Refusal::InvalidArguments(why)) => Self::Arguments(vec![why]),
            CellError::Refused(Refusal::Failed(why)) => Self::Bundle(why),
            CellError::Refused(Refusal::UnknownTool) => {
                Self::Bundle(format!("{} does not know the tool that it listed", bundle.name))
            }
            CellError::Host(why) => Self::Host(why),
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::UnknownTool | Self::Arguments(_) => Fault::Caller,
            Self::Limit(..) | Self::Bundle(_) => Fault::Bundle,
            Self::Busy { .. } => Fault::Operator,
            Self::Host(_) => Fault::Host,
        }
    }

    fn outcome(&self) -> record::Outcome {
        match self {
            Self::UnknownTool | Self::Arguments(_) | Self::Busy { .. } => record::Outcome::Refused,
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
            Self::Arguments(wrong) => write!(f, "the arguments do not fit this tool: {}", wrong.join("; ")),
            Self::Busy { retry_after_ms, bound } => write!(
                f,
                "too many calls are running, and {bound} are waiting (queueMax): try again in {retry_after_ms} ms"
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
            Self::Bundle(why) => write!(f, "the tool failed: {why}"),
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
            tool: call.tool.get(..TOOL_BYTES_MAX).unwrap_or(call.tool),
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
        self.line.reason = reason;
        self.line.usage = usage;
        self.recorded = true;
        self.recorder.record(&self.line, value)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.recorded {
            self.recorder.record(&self.line, ());
        }
    }
}
