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
const UNEVALUATED_MAX: usize = 16;
/// The library unfolds all that stands beside one of those, references too, when it compiles a schema. Of `n` references
/// there are at most 1.45 to the power of `n` ways through; 24 of them and 100 places, or 8 and 50,000, come to this.
const UNFOLDED_MAX: f64 = 1e6;
const UNFOLDED_EACH: f64 = 1.45;
/// The library remembers where each place stands: names on the way to all places together.
const PLACES_BYTES_MAX: usize = 16 << 20;
/// The library keeps a copy of all that stands under a `not`.
const NEGATED_MAX: usize = 100_000;

/// What a schema takes when it is compiled, roughly and rather more than less, in bytes: each place,
const PLACE_BYTES: usize = 640;
/// each byte of where a place stands,
const NAME_BYTES: usize = 3;
/// each thing under a `not`, which has a `type` by then,
const NEGATED_BYTES: usize = 1536;
/// and each place that is unfolded.
const UNFOLDED_BYTES: f64 = 64.0;

/// What is to be known of a schema.
pub(super) struct Seen {
    pub has_multiples: bool,
    /// What it takes when it is compiled, but for texts and values in it.
    pub bytes: usize,
}

/// What was found in a schema.
#[derive(Default)]
struct Found {
    places: usize,
    targets: BTreeSet<String>,
    references: i32,
    unevaluated: usize,
    place_bytes: usize,
    negated: usize,
    has_dynamic: bool,
    has_multiples: bool,
}

/// Makes every place of a schema look at the value before anything else, by giving it a `type` that each value has.
/// Says what cannot be bounded so.
pub(super) fn make_look(schema: &mut Value) -> Result<Seen, String> {
    let mut found = Found::default();
    let mut rest = vec![(schema, 0)];
    while let Some((place, place_bytes)) = rest.pop() {
        let Value::Object(members) = place else { continue };
        if place_bytes > 0 && members.contains_key("$schema") {
            return Err("has another schema inside, with a `$schema` of its own".to_owned());
        }
        let id_bytes = members.get("$id").and_then(Value::as_str).map_or(0, str::len);
        found.look_at(members, place_bytes + id_bytes)?;
        if !members.contains_key("type") {
            members.insert("type".to_owned(), any_type());
        }
        rest.extend(inside(members).map(|(name_bytes, place)| (place, place_bytes + id_bytes + name_bytes)));
    }
    found.check()?;
    Ok(Seen { has_multiples: found.has_multiples, bytes: found.bytes() })
}

impl Found {
    fn look_at(&mut self, members: &Map<String, Value>, place_bytes: usize) -> Result<(), String> {
        self.places += 1;
        self.place_bytes += place_bytes * (1 + members.len());
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(target) = members.get(keyword).and_then(Value::as_str) {
                if !leads_to_a_schema(target) {
                    return Err(format!("refers to {target:?}, where no schema stands"));
                }
                self.targets.insert(target.to_owned());
                self.references += 1;
            }
        }
        self.has_dynamic |= members.contains_key("$dynamicRef");
        self.has_multiples |= members.contains_key("multipleOf");
        self.unevaluated += UNEVALUATED.iter().filter(|keyword| members.contains_key(**keyword)).count();
        if let Some(negated) = members.get("not") {
            self.negated += parts(negated, NEGATED_MAX);
        }
        if self.negated > NEGATED_MAX {
            return Err(format!(
                "has more than {NEGATED_MAX} things under `not`, counted for each that they are under"
            ));
        }
        if self.place_bytes > PLACES_BYTES_MAX {
            return Err("has too long names around too many others".to_owned());
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let Self { targets, unevaluated, references, .. } = self;
        if targets.len() > TARGETS_MAX {
            return Err(format!("refers to {} places, and at most {TARGETS_MAX} are allowed", targets.len()));
        }
        let is_unfolded = *unevaluated > 0;
        if *unevaluated > UNEVALUATED_MAX || (is_unfolded && (self.unfolded() > UNFOLDED_MAX || self.has_dynamic)) {
            return Err(format!(
                "has `unevaluatedProperties` or `unevaluatedItems` {unevaluated} times and {references} references, and \
                 beside such keywords at most {UNEVALUATED_MAX} and, in a small schema, 24 are allowed, and no `$dynamicRef`"
            ));
        }
        Ok(())
    }

    fn unfolded(&self) -> f64 {
        self.places as f64 * UNFOLDED_EACH.powi(self.references)
    }

    fn bytes(&self) -> usize {
        let unfolded = if self.unevaluated > 0 { (self.unfolded() * UNFOLDED_BYTES) as usize } else { 0 };
        self.places * PLACE_BYTES + self.place_bytes * NAME_BYTES + self.negated * NEGATED_BYTES + unfolded
    }
}

/// How many parts a value has, up to about `most`.
fn parts(value: &Value, most: usize) -> usize {
    let (mut count, mut rest) = (0, vec![value]);
    while let Some(value) = rest.pop() {
        count += 1;
        match value {
            _ if count > most => return count,
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => rest.extend(members.values()),
            _ => {}
        }
    }
    count
}

fn any_type() -> Value {
    json!(["null", "boolean", "object", "array", "number", "string"])
}

/// The schemas that stand in one, and how many bytes it takes to say where.
fn inside(members: &mut Map<String, Value>) -> impl Iterator<Item = (usize, &mut Value)> {
    members.iter_mut().flat_map(|(keyword, value)| {
        let keyword = keyword.as_str();
        let bytes = keyword.len() + 1;
        if ONE.contains(&keyword) {
            return vec![(bytes, value)];
        }
        match value {
            Value::Array(list) if LIST.contains(&keyword) => {
                list.iter_mut().map(|place| (bytes + 6, as_object(place))).collect()
            }
            Value::Object(named) if NAMED.contains(&keyword) => {
                named.iter_mut().map(|(name, place)| (bytes + name.len() + 1, place)).collect()
            }
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
