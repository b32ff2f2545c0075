use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use certosa_model::Usage;
use certosa_syscall::guest::Outcome;
use certosa_syscall::{Errand, Seen};

use crate::call::{Call, News, Reply};
use crate::entry::{self, Entry};
use crate::error::CallError;
use crate::house::{Bundle, House};
use crate::listings::LoadedItem;
use crate::metrics::Counts;
use crate::record::{Recorded, Recorder};

/// How much a record keeps of a text that others wrote.
const TEXT_BYTES_MAX: usize = 300;

/// A call between its arrival and its record. If it is dropped before, the caller went away, and that is
/// recorded too.
pub(crate) struct Pending<'a> {
    recorder: &'a Recorder,
    counts: &'a Counts,
    bundle: Option<&'a Bundle>,
    errand: Option<Arc<Errand>>,
    entry: Entry<'a>,
    recorded: bool,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(house: &'a House, call: &'a Call<'a>) -> Self {
        let entry = Entry {
            started: SystemTime::now(),
            way: call.way,
            caller: call.caller.subject(),
            route: &call.route.plan().path,
            kind: call.ask.kind(),
            name: shorten(call.ask.name()),
            bundle: None,
            component: None,
            plan: &house.plan_digest,
            outcome: entry::Outcome::Cancelled,
            reason: None,
            parent: call.trace,
            usage: Usage::default(),
            seen: Seen::default(),
        };
        let (recorder, counts) = (&house.recorder, &house.unknown);
        Self { recorder, counts, bundle: None, errand: None, entry, recorded: false }
    }

    pub(crate) fn found(&mut self, bundle: &'a Bundle, loaded: &'a LoadedItem) {
        self.entry.bundle = Some(bundle.name.as_str());
        self.entry.component = Some(&bundle.digest);
        self.counts = &loaded.counts;
        self.bundle = Some(bundle);
    }

    /// The call may use what its bundle was granted.
    pub(crate) fn goes_out(&mut self, errand: Option<Arc<Errand>>) {
        self.errand = errand;
    }

    pub(crate) fn refuse(self, error: CallError, reason: String) -> Recorded<Reply> {
        self.record(error.outcome(), Some(reason), Usage::default(), Reply { result: Err(error), news: None })
    }

    pub(crate) fn finish(
        self,
        result: Result<Outcome, CallError>,
        usage: Usage,
        news: Option<News>,
    ) -> Recorded<Reply> {
        let (outcome, reason) = match &result {
            Ok(Outcome::Tool(done)) if done.is_error => (entry::Outcome::ToolError, None),
            Ok(Outcome::InputRequired(_)) => (entry::Outcome::InputRequired, None),
            Ok(_) => (entry::Outcome::Done, None),
            // What the caller sent is not written down.
            Err(error @ CallError::Arguments(_)) => {
                (error.outcome(), Some("the arguments do not fit what was listed".to_owned()))
            }
            Err(error @ CallError::Limit(limit, _)) => (error.outcome(), Some(limit.as_str().to_owned())),
            Err(error) => (error.outcome(), Some(error.to_string())),
        };
        self.record(outcome, reason, usage, Reply { result, news })
    }

    fn record<T>(mut self, outcome: entry::Outcome, reason: Option<String>, usage: Usage, value: T) -> Recorded<T> {
        self.entry.outcome = outcome;
        self.entry.reason = reason.map(|reason| shorten(&reason).to_owned());
        self.entry.usage = usage;
        self.recorded = true;
        self.note();
        self.recorder.record(&self.entry, value)
    }

    fn note(&mut self) {
        self.entry.seen = self.errand.as_ref().map(|errand| errand.seen()).unwrap_or_default();
        self.counts.add(self.entry.outcome);
        if let Some(bundle) = self.bundle {
            bundle.cpu_us.fetch_add(self.entry.usage.cpu_us, Ordering::Relaxed);
            bundle.seconds.observe(self.entry.started.elapsed().unwrap_or_default().as_secs_f64());
        }
    }
}

fn shorten(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.recorded {
            self.note();
            self.recorder.record(&self.entry, ());
        }
    }
}
