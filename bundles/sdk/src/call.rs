use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::certosa::tools::changes::{self, Lists};
use crate::bindings::certosa::tools::types;
use crate::bindings::certosa::tools::{log, progress};
use crate::{Askable, Level, Refusal};

/// What a cell was made for: the call of a tool, the filling in of a prompt, the reading of a resource.
pub struct Call {
    name: String,
    uri: String,
    arguments: String,
    answers: Vec<types::Answer>,
    state: Option<Vec<u8>>,
    askable: Askable,
}

impl From<types::Call> for Call {
    fn from(call: types::Call) -> Self {
        let types::Call { name, arguments, answers, state, askable } = call;
        Self { name, uri: String::new(), arguments, answers, state, askable }
    }
}

impl From<types::Get> for Call {
    fn from(get: types::Get) -> Self {
        let types::Get { name, arguments, answers, state, askable } = get;
        Self { name, uri: String::new(), arguments: object(arguments), answers, state, askable }
    }
}

impl From<types::Read> for Call {
    fn from(read: types::Read) -> Self {
        let types::Read { uri, name, variables, answers, state, askable } = read;
        Self { name, uri, arguments: object(variables), answers, state, askable }
    }
}

fn object(members: Vec<(String, String)>) -> String {
    Value::Object(members.into_iter().map(|(name, value)| (name, Value::String(value))).collect()).to_string()
}

impl Call {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of the resource that is read; empty in other calls.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The arguments as `T`. Those of prompts and the variables of templates are strings.
    pub fn arguments<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        serde_json::from_str(&self.arguments).map_err(|error| Refusal::InvalidArguments(error.to_string()))
    }

    /// The client's answer to the question `id` of the round before, if it gave one of this form.
    pub fn answer<T: DeserializeOwned>(&self, id: &str) -> Option<T> {
        let answer = self.answers.iter().find(|answer| answer.id == id)?;
        serde_json::from_str(&answer.value).ok()
    }

    /// What the person put into the form `id`, if they accepted it.
    pub fn accepted<T: DeserializeOwned>(&self, id: &str) -> Option<T> {
        let mut answer: Value = self.answer(id)?;
        let content = (answer["action"] == "accept").then(|| answer["content"].take())?;
        serde_json::from_value(content).ok()
    }

    /// What the round before left in its state.
    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// What the client can be asked.
    pub fn askable(&self) -> Askable {
        self.askable
    }

    /// Tells the client how far the call has come.
    pub fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        progress::report(done, total, message);
    }

    /// Writes a log message for the client and the operator.
    pub fn log(&self, level: Level, message: &str) {
        log::write(level, &Value::from(message).to_string());
    }

    /// Tells clients that the resource at `uri` has other contents than before.
    pub fn resource_updated(&self, uri: &str) {
        changes::resource_updated(uri);
    }

    /// Tells clients to ask for these lists again.
    pub fn lists_changed(&self, lists: Lists) {
        changes::lists_changed(lists);
    }
}
