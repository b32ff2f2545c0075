//! What the house checks before a cell is made, and what it checks of a bundle's word afterwards.

use std::collections::HashSet;

use certosa_syscall::guest::{Askable, Completion, Outcome, QuestionKind, Questions, Task, ToolResult};

use crate::error::CallError;
use crate::json;
use crate::listings::{Item, LoadedItem, LoadedTool};
use crate::offer::Prompt;

const QUESTIONS_MAX: usize = 16;
const QUESTION_ID_BYTES_MAX: usize = 64;
const STATE_BYTES_MAX: usize = 8 << 10;
const COMPLETIONS_MAX: usize = 100;
const URL_BYTES_MAX: usize = 2048;

/// Whether a task's arguments are what the item takes.
pub(crate) fn arguments(loaded: &LoadedItem, task: &Task) -> Result<(), String> {
    match (&loaded.item, task) {
        (Item::Tool(tool), Task::Call(call)) => {
            let value = json::parse(&call.arguments).map_err(|error| format!("they are not JSON: {error}"))?;
            tool.input.check(&value)
        }
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

/// A bundle keeps its word: what it calls structured fits its schema, and what it asks can be asked.
pub(crate) fn outcome(loaded: &LoadedItem, outcome: Outcome, askable: Askable) -> Result<Outcome, CallError> {
    let checked = match (&outcome, &loaded.item) {
        (Outcome::Tool(result), Item::Tool(tool)) => structured(tool, result),
        (Outcome::Completion(completion), _) => completions(completion),
        (Outcome::InputRequired(questions), _) => {
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
        Err(why) => Err(CallError::Bundle(format!("{} {why}", loaded.subject))),
    }
}

fn structured(tool: &LoadedTool, result: &ToolResult) -> Result<(), String> {
    let text = match (&result.structured, &tool.output) {
        (None, Some(_)) if !result.is_error => return Err("promised structured content and gave none".to_owned()),
        (None, _) => return Ok(()),
        (Some(text), _) => text,
    };
    let value = json::parse(text).map_err(|error| format!("gave structured content that is not JSON: {error}"))?;
    if !value.is_object() {
        return Err("gave structured content that is not a JSON object".to_owned());
    }
    match tool.output.as_ref().map_or(Ok(()), |schema| schema.check(&value)) {
        Err(wrong) if !result.is_error => {
            Err(format!("gave structured content that does not fit its own output schema: {wrong}"))
        }
        _ => Ok(()),
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
        if !json::parse(parameters).is_ok_and(|value| value.is_object()) {
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
    use super::*;

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
