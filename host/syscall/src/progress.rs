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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::Hearing;

    #[test]
    fn progress_grows_and_its_texts_are_bounded() {
        let (events, mut told) = mpsc::channel(8);
        let hearing = Hearing { progress: true, log: None, events: Some(events) };
        let mut cell = Cell::new(crate::meter::tests::limits(), hearing, None);
        cell.report(1.0, None, Some("x".repeat(MESSAGE_BYTES_MAX)));
        cell.report(2.0, None, Some("x".repeat(MESSAGE_BYTES_MAX + 1)));
        cell.report(2.0, None, None);
        cell.report(f64::NAN, None, None);
        let mut lengths = Vec::new();
        while let Ok(Event::Progress(progress)) = told.try_recv() {
            lengths.push((progress.done, progress.message.map(|text| text.len())));
        }
        assert_eq!(lengths, [(1.0, Some(MESSAGE_BYTES_MAX)), (2.0, None)]);
        assert_eq!(cell.meter.events_dropped, 1);
    }
}
