//! `wit/progress.wit`.

use certosa_model::{Event, Progress};

use crate::bindings::certosa::tools::progress::Host;
use crate::caller::Cell;

const MESSAGE_BYTES_MAX: usize = 1024;

impl Host for Cell {
    fn report(&mut self, done: f64, total: Option<f64>, message: Option<String>) {
        let is_number = done.is_finite() && total.is_none_or(f64::is_finite);
        if !self.hearing.progress || !is_number {
            return;
        }
        // Clients may rely on it that progress grows (MCP 2026-07-28, "Progress").
        if self.progressed.is_some_and(|before| done <= before) {
            self.meter.events_dropped += 1;
            return;
        }
        self.progressed = Some(done);
        let message = message.filter(|text| text.len() <= MESSAGE_BYTES_MAX);
        self.tell(Event::Progress(Progress { done, total, message }));
    }
}
