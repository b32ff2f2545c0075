use std::fmt;
use std::time::Instant;

use certosa_isolate::CellError;
use certosa_model::{Fault, Kind, Limit, Untold};
use certosa_syscall::guest::{Askable, Refusal};

use crate::entry::Outcome;
use crate::house::Bundle;
use crate::listings::LoadedItem;

/// Why a call has no outcome. The text is for the caller.
#[derive(Debug, Clone)]
pub enum CallError {
    /// There is no such thing here for this caller; a denial looks the same.
    Unknown(Kind),
    /// The arguments are not what it takes.
    Arguments(String),
    /// There is no place for it; the same call may work in this many milliseconds. The bound is that of the field of
    /// the manifest.
    Busy { retry_after_ms: u32, field: &'static str, bound: u64 },
    /// The cell went past a limit, whose bound is in the unit of its field in the manifest.
    Limit(Limit, u64),
    /// The bundle broke off, or broke its word.
    Bundle(String),
    /// The bundle refused to try, and says why.
    Declined(String),
    /// The bundle needs to ask something that this client cannot be asked.
    CannotAsk(Askable),
    /// The client did not answer what it was asked; the text says why.
    Unanswered(String),
    /// The house could not do its part.
    Host(String),
}

impl CallError {
    pub(crate) fn of_cell(error: CellError, bundle: &Bundle, loaded: &LoadedItem) -> Self {
        match error {
            CellError::Limit(limit, bound) => Self::Limit(limit, bound),
            CellError::Trap(seen, trace) => {
                if let Some(untold) = bundle.traces.take(Instant::now()).map(Untold) {
                    tracing::warn!(subject = %loaded.subject, "{seen}{untold}\n{trace}");
                }
                Self::Bundle(seen)
            }
            CellError::Refused(Refusal::InvalidArguments(why)) => Self::Arguments(why),
            CellError::Refused(Refusal::Failed(why)) => Self::Declined(why),
            // A template stands for more addresses than there are resources.
            CellError::Refused(Refusal::Unknown) if loaded.item.kind() == Kind::Resource => {
                Self::Unknown(Kind::Resource)
            }
            CellError::Refused(Refusal::Unknown) => {
                let kind = loaded.item.kind().as_str();
                Self::Bundle(format!("{} does not know the {kind} that it listed", bundle.name))
            }
            CellError::Broke(why) => Self::broken_word(loaded, &why),
            CellError::Host(why) => Self::Host(why),
        }
    }

    pub(crate) fn broken_word(loaded: &LoadedItem, why: &str) -> Self {
        Self::Bundle(format!("{} {why}", loaded.subject))
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unknown(_) | Self::Arguments(_) | Self::CannotAsk(_) | Self::Unanswered(_) => Fault::Caller,
            Self::Limit(..) | Self::Bundle(_) | Self::Declined(_) => Fault::Bundle,
            Self::Busy { .. } => Fault::Operator,
            Self::Host(_) => Fault::Host,
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown(_)
            | Self::Arguments(_)
            | Self::Busy { .. }
            | Self::Declined(_)
            | Self::CannotAsk(_)
            | Self::Unanswered(_) => Outcome::Refused,
            Self::Limit(limit, _) => Outcome::of_limit(*limit),
            Self::Bundle(_) => Outcome::Trap,
            Self::Host(_) => Outcome::Fault,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(kind) => write!(f, "there is no such {} here", kind.as_str()),
            Self::Arguments(wrong) => write!(f, "the arguments do not fit: {wrong}"),
            Self::Busy { retry_after_ms, field, bound } => {
                let what = match *field == Limit::Wall.field() {
                    true => "other calls did not end before its time was over",
                    false => "too many calls are running and waiting",
                };
                write!(f, "{what} ({field} = {bound}, set by the operator): try again in {retry_after_ms} ms")
            }
            Self::Limit(limit, bound) => {
                let what = match limit {
                    Limit::Memory => "needed more memory than it may have",
                    Limit::Cpu => "computed for longer than it may",
                    Limit::Wall => "took longer than it may",
                    Limit::Stack => "nested its calls deeper than it may",
                    Limit::Output => "returned more than it may",
                    Limit::Handles => "held more handles than it may",
                    Limit::Random => "asked for more random bytes at once than it may",
                    Limit::Concurrency => "was called more often than it may",
                };
                write!(f, "the call {what} ({} = {bound}, set by the operator) and was ended", limit.field())
            }
            Self::Bundle(why) | Self::Declined(why) => write!(f, "the bundle failed: {why}"),
            Self::CannotAsk(_) => f.write_str("something has to be asked first that this client cannot be asked"),
            Self::Unanswered(why) => f.write_str(why),
            Self::Host(why) => write!(f, "the host failed: {why}"),
        }
    }
}

impl std::error::Error for CallError {}
