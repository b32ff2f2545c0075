use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bindings::certosa::tools::types;
use crate::bindings::certosa::tools::{log, progress};
use crate::{Askable, Level, Refusal};

/// The call that a cell was made for.
pub struct Call(types::Call);

impl Call {
    #[doc(hidden)]
    pub fn new(call: types::Call) -> Self {
        Self(call)
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The arguments as `T`.
    pub fn arguments<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        serde_json::from_str(&self.0.arguments).map_err(|error| Refusal::InvalidArguments(error.to_string()))
    }

    /// The client's answer to the question `id` of the round before, if it gave one of this form.
    pub fn answer<T: DeserializeOwned>(&self, id: &str) -> Option<T> {
        let answer = self.0.answers.iter().find(|answer| answer.id == id)?;
        serde_json::from_str(&answer.value).ok()
    }

    /// What the round before left in its state.
    pub fn state(&self) -> Option<&[u8]> {
        self.0.state.as_deref()
    }

    /// What the client can be asked.
    pub fn askable(&self) -> Askable {
        self.0.askable
    }

    /// Tells the client how far the call has come.
    pub fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        progress::report(done, total, message);
    }

    /// Writes a log message for the client and the operator.
    pub fn log(&self, level: Level, message: &str) {
        log::write(level, &serde_json::Value::from(message).to_string());
    }
}
