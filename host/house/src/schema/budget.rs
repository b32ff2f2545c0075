//! Validation that can be given up. A schema comes from a bundle, and some take time that doubles with every level of
//! the schema or of the value, or a stack as deep as both; the library that validates has no bound for either. But it
//! looks at values through a trait, and what stands behind that here counts every look. When there were too many the
//! validation is unwound, as a guest is that has used up its time.
//!
//! That every place of a schema looks at the value, before it goes on to others, is what [`super::places`] sees to.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp};
use serde_json::{Map, Value};

/// What one validation may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Each takes some 10 to 20 ns.
    pub steps: u64,
    /// For each look at a value: more than one where a place has to be said of it.
    pub steps_of_look: u64,
    /// For a number that is no integer of a double, which fractions are made of for `multipleOf`.
    pub steps_of_number: u64,
    /// For 64 bytes of a text that a regular expression may be held against.
    pub steps_of_text: u64,
    /// The same for the name of a member, which many may be held against.
    pub steps_of_name: u64,
}

/// Why a validation was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// It would have taken more steps.
    Steps,
    /// It would have taken a deeper stack.
    Stack,
    /// The library broke off.
    Broken,
}

/// Of the 2 MiB that a thread has.
const STACK_BYTES_MAX: usize = 1 << 20;
const TEXT_BYTES: usize = 64;
/// For as many bytes.
const STEPS_OF_HASH: u64 = 3;

#[derive(Clone, Copy)]
struct Left {
    budget: Budget,
    /// Below this address the stack is used up.
    stack_floor: usize,
}

thread_local! {
    static LEFT: Cell<Left> = const {
        Cell::new(Left { budget: Budget::NONE, stack_floor: 0 })
    };
}

impl Budget {
    const NONE: Self = Self { steps: 0, steps_of_look: 1, steps_of_number: 1, steps_of_text: 0, steps_of_name: 0 };
}

/// Validates within a budget.
pub(super) fn within<T>(budget: Budget, validate: impl FnOnce() -> T) -> Result<T, GivenUp> {
    LEFT.set(Left { budget, stack_floor: stack_pointer().saturating_sub(STACK_BYTES_MAX) });
    catch_unwind(AssertUnwindSafe(validate))
        .map_err(|payload| payload.downcast::<GivenUp>().map_or(GivenUp::Broken, |given_up| *given_up))
}

/// About where the stack ends.
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}

fn step(steps: u64) {
    let mut left = LEFT.get();
    match left.budget.steps.checked_sub(steps) {
        None => give_up(GivenUp::Steps),
        Some(_) if stack_pointer() < left.stack_floor => give_up(GivenUp::Stack),
        Some(steps) => left.budget.steps = steps,
    }
    LEFT.set(left);
}

#[cold]
fn give_up(why: GivenUp) -> ! {
    let payload: Box<dyn Any + Send> = Box::new(why);
    resume_unwind(payload)
}

fn look() {
    step(LEFT.get().budget.steps_of_look);
}

fn step_over_text(bytes: usize, steps_each: u64) {
    step((bytes / TEXT_BYTES) as u64 + (bytes.div_ceil(TEXT_BYTES) as u64).saturating_mul(steps_each) + 1);
}

/// Values of `serde_json`, each look at which is a step.
pub(super) struct Counted;

#[derive(Clone, Copy)]
pub(super) struct Looked<'a>(pub &'a Value);

pub(super) struct Members<'a>(&'a Map<String, Value>);

pub(super) struct Items<'a>(&'a [Value]);

pub(super) struct MembersIter<'a>(serde_json::map::Iter<'a>);

pub(super) struct ItemsIter<'a>(std::slice::Iter<'a, Value>);

impl Json for Counted {
    type Node<'a> = Looked<'a>;
    type PreparedKey = String;
    type StringBuffer = Value;

    /// As the library has it for a map that is a tree.
    const KEYS_PER_LOOKUP: usize = 2;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, validate: impl FnOnce(Looked<'_>) -> T) -> T {
        *buffer = Value::String(string.to_owned());
        validate(Looked(buffer))
    }
}

impl<'a> Node<'a, Counted> for Looked<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = &'a serde_json::Number;

    fn as_object(&self) -> Option<Members<'a>> {
        look();
        self.0.as_object().map(Members)
    }

    fn as_array(&self) -> Option<Items<'a>> {
        look();
        self.0.as_array().map(|items| Items(items))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.0.as_str();
        step_over_text(text.map_or(0, str::len), LEFT.get().budget.steps_of_text);
        text.map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<&'a serde_json::Number> {
        look();
        let number = self.0.as_number()?;
        let is_small = number.as_i64().is_some_and(|integer| integer.unsigned_abs() <= 1 << 53);
        if !is_small {
            step(LEFT.get().budget.steps_of_number);
        }
        Some(number)
    }

    fn as_boolean(&self) -> Option<bool> {
        look();
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        look();
        self.0.is_null()
    }

    fn json_type(&self) -> JsonType {
        look();
        match self.0 {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn string_length(&self) -> Option<u64> {
        let text = self.0.as_str();
        step_over_text(text.map_or(0, str::len), 1);
        text.map(|text| text.chars().count() as u64)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        step_over(expected);
        cmp::equal(self.0, expected)
    }

    fn to_value(&self) -> Cow<'a, Value> {
        look();
        Cow::Borrowed(self.0)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        look();
        Some(NodeIdentity::new(std::ptr::from_ref(self.0).addr()))
    }
}

impl<'a> Object<'a, Counted> for Members<'a> {
    type Node = Looked<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<Looked<'a>> {
        // It is compared with so many names, which may begin like it.
        let names = u64::from(self.0.len().checked_ilog2().unwrap_or_default()) + 1;
        step((key.len() / TEXT_BYTES) as u64 * names + 1);
        self.0.get(key).map(Looked)
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter(self.0.iter())
    }
}

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Looked<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        step_over_text(name.len(), LEFT.get().budget.steps_of_name);
        Some((name, Looked(value)))
    }
}

impl<'a> Array<'a, Counted> for Items<'a> {
    type Node = Looked<'a>;
    type ElementsIter = ItemsIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> ItemsIter<'a> {
        ItemsIter(self.0.iter())
    }

    fn is_unique(&self) -> bool {
        let mut seen = HashSet::new();
        self.0.iter().all(|item| seen.insert(Distinct(item)))
    }
}

impl<'a> Iterator for ItemsIter<'a> {
    type Item = Looked<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        step(1);
        self.0.next().map(Looked)
    }
}

/// A value as a member of a set, where each comparison is a step: callers choose values, and may choose some that
/// look alike.
struct Distinct<'a>(&'a Value);

impl PartialEq for Distinct<'_> {
    fn eq(&self, other: &Self) -> bool {
        step_over(self.0);
        cmp::equal(self.0, other.0)
    }
}

impl Eq for Distinct<'_> {}

impl Hash for Distinct<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        step(1);
        match self.0 {
            Value::Null => state.write_u8(0),
            Value::Bool(value) => value.hash(state),
            // 1 and 1.0 are one number, and so are 0 and -0.0.
            Value::Number(number) => (number.as_f64().unwrap_or_default() + 0.0).to_bits().hash(state),
            Value::String(text) => {
                step_over_text(text.len(), STEPS_OF_HASH);
                text.hash(state);
            }
            Value::Array(items) => items.iter().for_each(|item| Distinct(item).hash(state)),
            Value::Object(members) => {
                // In any order.
                let hash = |(name, value): (&String, &Value)| {
                    let mut hasher = DefaultHasher::new();
                    step_over_text(name.len(), STEPS_OF_HASH);
                    name.hash(&mut hasher);
                    Distinct(value).hash(&mut hasher);
                    hasher.finish()
                };
                state.write_u64(members.iter().map(hash).fold(0, |all, one| all ^ one));
            }
        }
    }
}

/// As many steps as a value has parts. Values are at most 127 levels deep.
fn step_over(value: &Value) {
    match value {
        Value::Array(items) => {
            step(1);
            items.iter().for_each(step_over);
        }
        Value::Object(members) => {
            step(1);
            members.iter().for_each(|(name, value)| {
                step_over_text(name.len(), 0);
                step_over(value);
            });
        }
        Value::String(text) => step_over_text(text.len(), 0),
        Value::Null | Value::Bool(_) | Value::Number(_) => step(1),
    }
}
