//! The places of a schema where schemas stand (JSON Schema 2020-12, Core, sections 8 to 11).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Keywords whose value is a schema,
const ONE: [&str; 12] = [
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    // It means nothing any more, and may still be referred to.
    "additionalItems",
];
/// a list of schemas,
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// or an object of schemas under names of their own.
const NAMED: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// Different places that a schema refers to. Each may refer to the next, and some of what the library does with them
/// goes as deep.
const TARGETS_MAX: usize = 500;
/// The keywords of what is left over.
const UNEVALUATED: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];
/// The library unfolds all that stands beside one of those, references too, when it compiles a schema.
const UNEVALUATED_MAX: usize = 16;
const REFERENCES_TO_UNFOLD_MAX: usize = 24;

/// Makes every place of a schema look at the value before anything else, by giving it a `type` that each value has.
/// Says what cannot be bounded so.
pub(super) fn make_look(schema: &mut Value) -> Result<(), String> {
    let mut targets = BTreeSet::new();
    let (mut references, mut unevaluated) = (0, 0);
    let mut rest = vec![(schema, true)];
    while let Some((place, is_root)) = rest.pop() {
        let Value::Object(members) = place else { continue };
        if !is_root && members.contains_key("$schema") {
            return Err("has another schema inside, with a `$schema` of its own".to_owned());
        }
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(target) = members.get(keyword).and_then(Value::as_str) {
                if !leads_to_a_schema(target) {
                    return Err(format!("refers to {target:?}, where no schema stands"));
                }
                targets.insert(target.to_owned());
                references += 1;
            }
        }
        unevaluated += UNEVALUATED.iter().filter(|keyword| members.contains_key(**keyword)).count();
        if !members.contains_key("type") {
            members.insert("type".to_owned(), any_type());
        }
        rest.extend(inside(members).map(|place| (place, false)));
    }
    if targets.len() > TARGETS_MAX {
        return Err(format!("refers to {} places, and at most {TARGETS_MAX} are allowed", targets.len()));
    }
    if unevaluated > UNEVALUATED_MAX || (unevaluated > 0 && references > REFERENCES_TO_UNFOLD_MAX) {
        return Err(format!(
            "has `unevaluatedProperties` or `unevaluatedItems` {unevaluated} times and {references} references, and beside \
             such keywords at most {UNEVALUATED_MAX} and {REFERENCES_TO_UNFOLD_MAX} are allowed"
        ));
    }
    Ok(())
}

fn any_type() -> Value {
    json!(["null", "boolean", "object", "array", "number", "string"])
}

/// The schemas that stand in one.
fn inside(members: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    members.iter_mut().flat_map(|(keyword, value)| {
        let keyword = keyword.as_str();
        if ONE.contains(&keyword) {
            return vec![value];
        }
        match value {
            Value::Array(list) if LIST.contains(&keyword) => list.iter_mut().map(as_object).collect(),
            Value::Object(named) if NAMED.contains(&keyword) => named.values_mut().collect(),
            _ => Vec::new(),
        }
    })
}

/// `true` and `false` as objects say it. A list of those would be gone through without a look.
fn as_object(place: &mut Value) -> &mut Value {
    match place {
        Value::Bool(true) => *place = json!({}),
        Value::Bool(false) => *place = json!({"not": {}}),
        _ => {}
    }
    place
}

/// Whether a reference is to a place where a schema stands, as far as its JSON Pointer says so. One without a pointer
/// is to an anchor or to an `$id`, which are nowhere else.
fn leads_to_a_schema(reference: &str) -> bool {
    // Read as a slash only after the pointer is taken out of the fragment.
    if reference.to_ascii_lowercase().contains("%2f") {
        return false;
    }
    let Some((_, pointer)) = reference.split_once("#/") else { return true };
    let mut tokens = pointer.split('/');
    while let Some(token) = tokens.next() {
        let keyword = token.replace("%24", "$");
        let is_one = ONE.contains(&keyword.as_str());
        let has_next = LIST.contains(&keyword.as_str()) || NAMED.contains(&keyword.as_str());
        if !(is_one || has_next && tokens.next().is_some()) {
            return false;
        }
    }
    true
}
