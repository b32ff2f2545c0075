use std::sync::Arc;

use certosa_isolate::{End, Terms, Work};
use certosa_model::{BundleName, Change, Kind, Limit, Subject, TraceParent};
use certosa_policy::{Caller, Denial, Permit, Target, decide};
use certosa_syscall::guest::{Answer, Askable, Call as ToolCall, Completing, Get, Outcome, Read, Task};
use certosa_syscall::{Errand, Hearing};

use crate::checks;
use crate::error::CallError;
use crate::house::{Bundle, House, RouteView};
use crate::line::{Full, Patience, Place};
use crate::listings::LoadedItem;
use crate::pending::Pending;
use crate::record::{Recorded, RecorderError};

/// One call, as a way in hands it over.
pub struct Call<'a> {
    pub way: Way,
    pub caller: &'a Caller,
    pub route: RouteView<'a>,
    pub ask: Ask<'a>,
    /// What came back for the questions of the round before.
    pub answers: Vec<Answer>,
    /// What the round before left.
    pub state: Option<Vec<u8>>,
    /// What the client can be asked.
    pub askable: Askable,
    pub hearing: Hearing,
    /// The trace that the caller works in (W3C Trace Context).
    pub trace: Option<TraceParent>,
}

/// What is asked for, under the names of the route.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// `arguments` is a JSON object.
    Tool {
        name: &'a str,
        arguments: &'a str,
    },
    Prompt {
        name: &'a str,
        arguments: &'a [(String, String)],
    },
    Resource {
        uri: &'a str,
    },
    CompletePrompt {
        name: &'a str,
        typing: Typing<'a>,
    },
    CompleteTemplate {
        template: &'a str,
        typing: Typing<'a>,
    },
}

/// An argument that someone is typing.
#[derive(Debug, Clone, Copy)]
pub struct Typing<'a> {
    pub argument: &'a str,
    pub value: &'a str,
    /// What the other arguments are already.
    pub context: &'a [(String, String)],
}

/// What comes of a call.
#[derive(Debug)]
pub struct Reply {
    pub result: Result<Outcome, CallError>,
    /// What clients should be told, if there is anything.
    pub news: Option<News>,
}

/// Resources that have other contents than before, as the bundle says that they are read from.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    pub bundle: BundleName,
    pub uris: Vec<String>,
}

/// The way by which a call came in; for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Http,
    /// An MCP client that started this process.
    Stdio,
    /// `certosa call`, in the process of whoever runs it.
    Cli,
}

/// What was found for a call and may be had: the permit, who offers it, and the variables of its address.
struct Found<'a> {
    permit: Permit<'a>,
    bundle: &'a Bundle,
    loaded: &'a LoadedItem,
    variables: Vec<(String, String)>,
}

/// What a bundle said has changed.
#[derive(Default)]
struct Said {
    uris: Vec<String>,
    /// How often it said that lists have.
    lists: u32,
}

const RETRY_AFTER_MS: u32 = 1000;

impl House {
    /// The one way in. The answer is made from what is returned, so there is none without a record.
    pub async fn call(&self, mut call: Call<'_>) -> Result<Recorded<Reply>, RecorderError> {
        self.recorder.check()?;
        let (answers, state) = (std::mem::take(&mut call.answers), call.state.take());
        let hearing = std::mem::take(&mut call.hearing);
        let call = &call;
        let mut pending = Pending::new(self, call);
        let Found { permit, bundle, loaded, variables } = match self.find(call) {
            Ok(found) => found,
            Err(denial) => {
                let kind = call.ask.kind();
                let absent = || format!("no such {}", kind.as_str());
                let reason = denial.map_or_else(absent, |denial| denial.to_string());
                return Ok(pending.refuse(CallError::Unknown(kind), reason));
            }
        };
        pending.found(bundle, loaded);
        let task = call.task(&permit, variables, answers, state);
        if let Err(wrong) = checks::arguments(loaded, &task) {
            let reason = "the arguments do not fit what was listed".to_owned();
            return Ok(pending.refuse(CallError::Arguments(wrong), reason));
        }
        let places = match self.places(bundle, call.caller.subject()).await {
            Ok(places) => places,
            Err((error, reason)) => return Ok(pending.refuse(error, reason)),
        };
        let errand = bundle.errand(loaded, call.caller);
        pending.goes_out(errand.clone());
        let mut end = self.run((bundle, loaded), &permit, task, (hearing, errand), places).await;
        let result = match end.result {
            Ok(outcome) => checks::outcome(loaded, outcome, call.askable),
            Err(error) => Err(CallError::of_cell(error, bundle, loaded)),
        };
        // What a cell said that broke off has come to nothing.
        let said = result.as_ref().map_or_else(|_| Said::default(), |_| Said::of(end.changes));
        if bundle.stale.is_none() {
            end.usage.events_dropped += said.lists;
        }
        let recorded = pending.finish(result, end.usage, call.route.news(bundle, said.uris));
        if let Some(stale) = bundle.stale.as_ref().filter(|_| said.lists > 0) {
            stale.notify_one();
        }
        Ok(recorded)
    }

    /// Waits for a place in the bundle and for one in the house, for both together as long as a call may take.
    async fn places(&self, bundle: &Bundle, caller: &Subject) -> Result<(Place, Place), (CallError, String)> {
        let mut patience = Patience::new(bundle.limits.wall_ms_max);
        let busy = |full, field, bound: u64| {
            let (field, bound) = match full {
                Full::Line => (field, bound),
                Full::Waited => (Limit::Wall.field(), bundle.limits.wall_ms_max.into()),
            };
            CallError::Busy { retry_after_ms: RETRY_AFTER_MS, field, bound }
        };
        let own = bundle.line.enter(caller, &mut patience).await.map_err(|full| {
            (busy(full, "queueMax", bundle.limits.queue_max as u64), format!("the bundle's line {full}"))
        })?;
        let house = self.line.enter(caller, &mut patience).await.map_err(|full| {
            (busy(full, "cellsMax", self.plan.limits.cells_max.into()), format!("the house's line {full}"))
        })?;
        Ok((own, house))
    }

    /// Does the task in a fresh cell, or in the one that the manifest lets this call share.
    async fn run(
        &self,
        (bundle, loaded): (&Bundle, &LoadedItem),
        permit: &Permit<'_>,
        task: Task,
        (hearing, errand): (Hearing, Option<Arc<Errand>>),
        places: (Place, Place),
    ) -> End<Outcome> {
        let Bundle { component, limits, kept, .. } = bundle;
        let (machine, image) = match self.images.ready(component).await {
            Ok(image) => (self.images.machine(), image),
            Err(error) => return End::failed(error),
        };
        let terms = loaded.item.schemas().map(|schemas| schemas as Arc<dyn Terms>);
        let work = Work { task, limits: *limits, terms, hearing, errand, pace: &loaded.pace };
        if kept.is_once() {
            return machine.call(&image, permit, work, places).await;
        }
        let caller = permit.caller().subject();
        let (end, warm, _places) = machine.call_again(kept.take(caller), &image, permit, work, places).await;
        if let Some(warm) = warm {
            kept.put(caller, warm);
        }
        end
    }

    /// Finds what is asked for and asks the gate. Which of the two said no is for the record only.
    fn find<'a>(&'a self, call: &Call<'a>) -> Result<Found<'a>, Option<Denial>> {
        let mut denial = None;
        let found = call.route.find(&call.ask, |(bundle, loaded, variables)| {
            let target = Target { route: call.route.plan(), kind: loaded.item.kind(), subject: &loaded.subject };
            match decide(&self.plan, call.caller, &target) {
                Ok(permit) => Some(Found { permit, bundle, loaded, variables }),
                Err(why) => {
                    denial = Some(why);
                    None
                }
            }
        });
        found.ok_or(denial)
    }
}

impl Way {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Stdio => "stdio",
            Self::Cli => "cli",
        }
    }
}

impl Said {
    fn of(changes: Vec<Change>) -> Self {
        let mut said = Self::default();
        for change in changes {
            match change {
                Change::Resource(uri) => said.uris.push(uri),
                Change::Lists(_) => said.lists += 1,
            }
        }
        said
    }
}

impl Call<'_> {
    /// What the cell is told: names as the bundle gave them.
    fn task(
        &self,
        permit: &Permit<'_>,
        variables: Vec<(String, String)>,
        answers: Vec<Answer>,
        state: Option<Vec<u8>>,
    ) -> Task {
        let (name, askable) = (permit.name().to_owned(), self.askable);
        match self.ask {
            Ask::Tool { arguments, .. } => {
                Task::Call(ToolCall { name, arguments: arguments.to_owned(), answers, state, askable })
            }
            Ask::Prompt { arguments, .. } => {
                Task::Get(Get { name, arguments: arguments.to_owned(), answers, state, askable })
            }
            Ask::Resource { uri } => Task::Read(Read { uri: uri.to_owned(), name, variables, answers, state, askable }),
            Ask::CompletePrompt { typing, .. } => Task::CompletePrompt(typing.of(name)),
            Ask::CompleteTemplate { typing, .. } => Task::CompleteResource(typing.of(name)),
        }
    }
}

impl Typing<'_> {
    fn of(&self, name: String) -> Completing {
        Completing {
            name,
            argument: self.argument.to_owned(),
            value: self.value.to_owned(),
            context: self.context.to_owned(),
        }
    }
}

impl<'a> Ask<'a> {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Tool { .. } => Kind::Tool,
            Self::Prompt { .. } | Self::CompletePrompt { .. } => Kind::Prompt,
            Self::Resource { .. } | Self::CompleteTemplate { .. } => Kind::Resource,
        }
    }

    /// What it is called on the route.
    pub fn name(&self) -> &'a str {
        match *self {
            Self::Tool { name, .. } | Self::Prompt { name, .. } | Self::CompletePrompt { name, .. } => name,
            Self::Resource { uri } => uri,
            Self::CompleteTemplate { template, .. } => template,
        }
    }
}
