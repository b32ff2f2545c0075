//! `wit/log.wit`.

use certosa_model::{Event, LogLevel};
use serde_json::value::RawValue;

use crate::bindings::certosa::tools::log::{Host, Level};
use crate::caller::Cell;

const MESSAGE_BYTES_MAX: usize = 4096;

impl Host for Cell {
    fn write(&mut self, level: Level, data: String) {
        self.meter.logs += 1;
        if self.meter.logs > self.meter.limits().logs_max || data.len() > MESSAGE_BYTES_MAX {
            self.meter.events_dropped += 1;
            return;
        }
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Notice => LogLevel::Notice,
            Level::Warning => LogLevel::Warning,
            Level::Error => LogLevel::Error,
            Level::Critical => LogLevel::Critical,
            Level::Alert => LogLevel::Alert,
            Level::Emergency => LogLevel::Emergency,
        };
        if self.hearing.log.is_none_or(|least| level < least) {
            return;
        }
        // What is not JSON is taken for plain text: a log message is never a reason to fail.
        let data = match serde_json::from_str::<&RawValue>(&data) {
            Ok(value) => value.get().to_owned(),
            Err(_) => serde_json::Value::String(data).to_string(),
        };
        self.tell(Event::Log { level, data });
    }
}
