//! The state of one call: what the doors know about the caller and what they may tell it.

use std::sync::{Arc, Mutex, PoisonError};

use certosa_model::{CellLimits, Change, Event, LogLevel};
use tokio::sync::mpsc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::errand::Errand;
use crate::http::Outside;
use crate::meter::Meter;
use crate::wasi::{self, Tail};

/// What one call holds while it runs. It is made for the call and dropped with it.
pub struct Cell {
    pub meter: Meter,
    /// What clients should be told when the cell has ended.
    pub changes: Vec<Change>,
    /// The last progress that was reported.
    pub(crate) progressed: Option<f64>,
    pub(crate) hearing: Hearing,
    table: ResourceTable,
    /// Made when the guest first uses it: many never do, and it costs as much as the rest of a store.
    wasi: Option<Box<Wasi>>,
    /// What the call may use outside, if its bundle was granted anything.
    errand: Option<Arc<Errand>>,
    /// Made when the guest first goes there.
    outside: Option<Box<Outside>>,
    /// The last call left a request or a response behind, so the cell must not outlive it.
    pub left_open: bool,
}

struct Wasi {
    context: WasiCtx,
    errors: Arc<Mutex<Tail>>,
}

/// What the caller wants to hear before the result, and the way to it. The channel is bounded, and what does
/// not fit is dropped: a caller that reads slowly cannot hold up a cell.
#[derive(Debug, Clone, Default)]
pub struct Hearing {
    pub progress: bool,
    /// The mildest level of log messages that is wanted.
    pub log: Option<LogLevel>,
    pub events: Option<mpsc::Sender<Event>>,
}

impl Cell {
    pub fn new(limits: CellLimits, hearing: Hearing, errand: Option<Arc<Errand>>) -> Self {
        Self {
            table: wasi::table(limits.handles_max),
            meter: Meter::new(limits),
            changes: Vec::new(),
            progressed: None,
            hearing,
            wasi: None,
            errand,
            outside: None,
            left_open: false,
        }
    }

    /// Begins the next call in a cell that outlives calls.
    pub fn begin(&mut self, limits: CellLimits, hearing: Hearing, errand: Option<Arc<Errand>>) {
        self.meter.begin(limits);
        self.changes.clear();
        self.progressed = None;
        self.hearing = hearing;
        self.errand = errand;
        // The last words of a call are its own.
        if let Some(wasi) = &self.wasi {
            *wasi.errors.lock().unwrap_or_else(PoisonError::into_inner) = Tail::default();
        }
    }

    /// Ends a call: nobody hears the cell from now on, and its exchanges end, also if it outlives the call. What it said
    /// is out of date with clients is handed over.
    pub fn end(&mut self) -> Vec<Change> {
        self.hearing = Hearing::default();
        self.errand = None;
        self.left_open = self.outside.take().is_some_and(|outside| outside.is_open());
        std::mem::take(&mut self.changes)
    }

    /// The way outside, and the table of what the guest holds.
    pub(crate) fn outside(&mut self) -> (&mut Outside, &mut ResourceTable) {
        let errand = &self.errand;
        let outside = self.outside.get_or_insert_with(|| Box::new(Outside::new(errand.clone())));
        (outside, &mut self.table)
    }

    pub(crate) fn tell(&mut self, event: Event) {
        if let Some(events) = &self.hearing.events {
            let told = events.try_send(event);
            self.meter.events_dropped += u32::from(told.is_err());
        }
    }

    /// The end of what the guest wrote to its standard error.
    pub fn errors(&self) -> String {
        let errors = self.wasi.as_ref().map(|wasi| wasi.errors.lock().unwrap_or_else(PoisonError::into_inner).text());
        errors.unwrap_or_default()
    }
}

impl WasiView for Cell {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| {
            let errors = Arc::default();
            Box::new(Wasi { context: wasi::context(&errors, self.meter.limits().random_bytes_max), errors })
        });
        WasiCtxView { ctx: &mut wasi.context, table: &mut self.table }
    }
}
