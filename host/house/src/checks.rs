//! What the house checks before a call, and what it checks of a bundle's word in the call and after it.

use std::collections::HashSet;
use std::time::Duration;

use certosa_isolate::{Breach, Held, Terms};
use certosa_model::parse_json;
use certosa_syscall::guest::{Askable, Completion, Outcome, QuestionKind, Questions, Task, ToolResult};
use serde_json::Value;

use crate::error::CallError;
use crate::listings::{Item, LoadedItem};
use crate::offer::{Prompt, Tool};
use crate::schema::{Misfit, Schema};

/// The schemas of a tool, as the bundle wrote them.
pub(crate) struct Schemas {
    input: Schema,
    output: Option<Schema>,
}

const QUESTIONS_MAX: usize = 16;
const QUESTION_ID_BYTES_MAX: usize = 64;
const STATE_BYTES_MAX: usize = 8 << 10;
const COMPLETIONS_MAX: usize = 100;
/// Of a form or of what a model is asked. Checked, it is many times as large.
const PARAMETERS_BYTES_MAX: usize = 256 << 10;
const URL_BYTES_MAX: usize = 2048;

impl Terms for Schemas {
    fn takes(&self, arguments: &str) -> Result<Held<'_>, Breach> {
        let value = parse_json(arguments).map_err(|error| Breach::Wrong(format!("they are not JSON: {error}")))?;
        Ok(Some(Box::new(move |time| fits(&self.input, &value, time))))
    }

    fn gives(&self, outcome: &Outcome) -> Result<Held<'_>, Breach> {
        match outcome {
            Outcome::Tool(result) => self.structured(result),
            _ => Ok(None),
        }
    }
}

impl Schemas {
    pub(crate) fn of(tool: &Tool) -> Result<Self, String> {
        let input = Schema::of_object(&tool.input_schema)?;
        let output = tool.output_schema.as_deref().map(Schema::of_object).transpose()?;
        Ok(Self { input, output })
    }

    fn structured(&self, result: &ToolResult) -> Result<Held<'_>, Breach> {
        let wrong = |why: String| Err(Breach::Wrong(why));
        let text = match (&result.structured, &self.output) {
            (None, Some(_)) if !result.is_error => {
                return wrong("promised structured content and gave none".to_owned());
            }
            (None, _) => return Ok(None),
            (Some(text), _) => text,
        };
        let value = match parse_json(text) {
            Ok(value) if value.is_object() => value,
            Ok(_) => return wrong("gave structured content that is not a JSON object".to_owned()),
            Err(error) => return wrong(format!("gave structured content that is not JSON: {error}")),
        };
        let Some(schema) = &self.output else { return Ok(None) };
        let is_error = result.is_error;
        Ok(Some(Box::new(move |time| match fits(schema, &value, time) {
            Err(Breach::Wrong(_)) if is_error => Ok(()),
            Err(Breach::Wrong(why)) => {
                Err(Breach::Wrong(format!("gave structured content that does not fit its own output schema: {why}")))
            }
            checked => checked,
        })))
    }
}

fn fits(schema: &Schema, value: &Value, time: Duration) -> Result<(), Breach> {
    schema.check(value, time).map_err(|misfit| match misfit {
        Misfit::Wrong(why) => Breach::Wrong(why),
        Misfit::Deep => Breach::Wrong("it is nested more deeply than the schema can be followed".to_owned()),
        Misfit::Unknown => Breach::Wrong("the schema cannot be followed".to_owned()),
        Misfit::Long => Breach::Long,
    })
}

/// Whether a task's arguments are what the item takes, as far as that is known at once. Those of tools are looked at in
/// the call: their schema comes from the bundle.
pub(crate) fn arguments(loaded: &LoadedItem, task: &Task) -> Result<(), String> {
    match (&loaded.item, task) {
        (Item::Prompt(prompt), Task::Get(get)) => prompt_arguments(prompt, &get.arguments),
        (Item::Prompt(prompt), Task::CompletePrompt(completing)) => {
            let is_one = prompt.arguments.iter().any(|argument| argument.name == completing.argument);
            if is_one { Ok(()) } else { Err(format!("the prompt has no argument {:?}", completing.argument)) }
        }
        (Item::Template(_, template), Task::CompleteResource(completing)) => {
            let is_one = template.variables().any(|variable| variable == completing.argument);
            if is_one { Ok(()) } else { Err(format!("the template has no variable {:?}", completing.argument)) }
        }
        _ => Ok(()),
    }
}

fn prompt_arguments(prompt: &Prompt, given: &[(String, String)]) -> Result<(), String> {
    let is_given = |name: &str| given.iter().any(|(given, _)| given == name);
    if let Some(missing) = prompt.arguments.iter().find(|argument| argument.required && !is_given(&argument.name)) {
        return Err(format!("the argument {:?} is missing", missing.name));
    }
    let is_known = |name: &str| prompt.arguments.iter().any(|argument| argument.name == name);
    match given.iter().find(|(name, _)| !is_known(name)) {
        Some((name, _)) => Err(format!("there is no argument {name:?}")),
        None => Ok(()),
    }
}

/// A bundle keeps its word: what it asks can be asked, and there is not too much of anything.
pub(crate) fn outcome(loaded: &LoadedItem, outcome: Outcome, askable: Askable) -> Result<Outcome, CallError> {
    let checked = match &outcome {
        Outcome::Completion(completion) => completions(completion),
        Outcome::InputRequired(questions) => {
            let mut kinds = questions.ask.iter().map(|question| kind_of(&question.kind));
            if let Some(kind) = kinds.find(|kind| !askable.contains(*kind)) {
                return Err(CallError::CannotAsk(kind));
            }
            self::questions(questions)
        }
        _ => Ok(()),
    };
    match checked {
        Ok(()) => Ok(outcome),
        Err(why) => Err(CallError::broken_word(loaded, &why)),
    }
}

fn completions(completion: &Completion) -> Result<(), String> {
    match completion.values.len() {
        0..=COMPLETIONS_MAX => Ok(()),
        found => Err(format!("proposed {found} values, where at most {COMPLETIONS_MAX} are allowed")),
    }
}

fn questions(questions: &Questions) -> Result<(), String> {
    if !(1..=QUESTIONS_MAX).contains(&questions.ask.len()) {
        return Err(format!("asked {} questions, where 1 to {QUESTIONS_MAX} are allowed", questions.ask.len()));
    }
    if questions.state.as_ref().is_some_and(|state| state.len() > STATE_BYTES_MAX) {
        return Err(format!("asked with a state of more than {STATE_BYTES_MAX} bytes"));
    }
    let mut ids = HashSet::new();
    for question in &questions.ask {
        if !(1..=QUESTION_ID_BYTES_MAX).contains(&question.id.len()) || !ids.insert(question.id.as_str()) {
            return Err("asked questions whose ids are not distinct, or not 1 to 64 bytes long".to_owned());
        }
        let parameters = match &question.kind {
            QuestionKind::Form(form) => &form.schema,
            QuestionKind::Sample(parameters) => parameters,
            QuestionKind::Visit(visit) if is_web_address(&visit.url) => continue,
            QuestionKind::Visit(_) => {
                let why = format!("an address that is not http or https, or longer than {URL_BYTES_MAX} bytes");
                return Err(format!("asked question {:?} with {why}", question.id));
            }
            QuestionKind::Roots => continue,
        };
        if parameters.len() > PARAMETERS_BYTES_MAX {
            let (found, most) = (parameters.len(), PARAMETERS_BYTES_MAX);
            return Err(format!(
                "asked question {:?} with {found} bytes, where at most {most} are allowed",
                question.id
            ));
        }
        if !parse_json(parameters).is_ok_and(|value| value.is_object()) {
            return Err(format!("asked question {:?} with something that is not a JSON object", question.id));
        }
    }
    Ok(())
}

/// A person is sent to it: nothing but the web is a place to be sent to.
fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    url.len() <= URL_BYTES_MAX
        && rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()))
}

fn kind_of(kind: &QuestionKind) -> Askable {
    match kind {
        QuestionKind::Form(_) => Askable::FORM,
        QuestionKind::Visit(_) => Askable::VISIT,
        QuestionKind::Sample(_) => Askable::SAMPLE,
        QuestionKind::Roots => Askable::ROOTS,
    }
}

#[cfg(test)]
mod tests {
    use certosa_syscall::guest::Question;

    use super::*;

    fn asked(count: usize, id: &dyn Fn(usize) -> String, state: usize) -> Questions {
        let question = |n| Question { id: id(n), kind: QuestionKind::Roots };
        Questions { ask: (0..count).map(question).collect(), state: Some(vec![0; state]) }
    }

    #[test]
    fn questions_are_bounded() {
        let id = |n: usize| format!("{n}");
        for good in [asked(1, &id, 0), asked(QUESTIONS_MAX, &id, STATE_BYTES_MAX)] {
            assert_eq!(questions(&good), Ok(()));
        }
        let long = |bytes: usize| move |_: usize| "x".repeat(bytes);
        assert_eq!(questions(&asked(1, &long(QUESTION_ID_BYTES_MAX), 0)), Ok(()));
        for (bad, why) in [
            (asked(0, &id, 0), "asked 0 questions"),
            (asked(QUESTIONS_MAX + 1, &id, 0), "where 1 to 16 are allowed"),
            (asked(1, &id, STATE_BYTES_MAX + 1), "more than 8192 bytes"),
            (asked(2, &long(3), 0), "not distinct"),
            (asked(1, &long(0), 0), "1 to 64 bytes"),
            (asked(1, &long(QUESTION_ID_BYTES_MAX + 1), 0), "1 to 64 bytes"),
        ] {
            assert!(questions(&bad).unwrap_err().contains(why), "{why}");
        }
    }

    #[test]
    fn what_a_model_is_asked_is_bounded() {
        let asked = |bytes: usize| {
            let parameters = format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
            let question = Question { id: "q".to_owned(), kind: QuestionKind::Sample(parameters) };
            questions(&Questions { ask: vec![question], state: None })
        };
        assert_eq!(asked(PARAMETERS_BYTES_MAX), Ok(()));
        assert!(asked(PARAMETERS_BYTES_MAX + 1).unwrap_err().contains("at most 262144"));
    }

    #[test]
    fn proposals_are_bounded() {
        let proposed =
            |count| completions(&Completion { values: vec![String::new(); count], total: None, has_more: false });
        assert_eq!(proposed(COMPLETIONS_MAX), Ok(()));
        assert!(proposed(COMPLETIONS_MAX + 1).unwrap_err().contains("at most 100"));
    }

    #[test]
    fn people_are_sent_to_the_web_only() {
        for good in ["https://example.com/consent?a=b", "http://127.0.0.1:8787/"] {
            assert!(is_web_address(good), "{good}");
        }
        let long = format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX));
        for bad in ["", "https://", "javascript:alert(1)", "file:///etc/passwd", "https://a b", "HTTPS:/x", &long] {
            assert!(!is_web_address(bad), "{bad}");
        }
    }
}
