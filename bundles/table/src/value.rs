//! What stands in a cell, and how two of them compare and count.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};
use std::rc::Rc;

use certosa_sdk::serde_json::Value as Json;

#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// Always finite.
    Float(f64),
    Text(Rc<str>),
}

/// What equal values have in common, whatever their type.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Null,
    Bool(bool),
    Int(i64),
    Float(u64),
    Text(Rc<str>),
}

#[derive(Clone, Copy)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Value {
    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    pub fn float(number: f64) -> Result<Self, String> {
        if number.is_finite() {
            Ok(Self::Float(number))
        } else {
            Err("a number is out of range or not a number".to_owned())
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// As a condition; NULL is neither true nor false.
    pub fn truth(&self) -> Result<Option<bool>, String> {
        match self {
            Self::Null => Ok(None),
            Self::Bool(truth) => Ok(Some(*truth)),
            other => Err(format!("{} is no condition", other.shown())),
        }
    }

    pub fn number(&self) -> Result<f64, String> {
        match self {
            Self::Int(number) => Ok(*number as f64),
            Self::Float(number) => Ok(*number),
            other => Err(format!("{} is no number; CAST it if it looks like one", other.shown())),
        }
    }

    pub fn int(&self) -> Result<i64, String> {
        match self {
            Self::Int(number) => Ok(*number),
            Self::Float(number) => whole(*number).ok_or_else(|| format!("{self} is not a whole number of 64 bits")),
            other => Err(format!("{} is not a whole number", other.shown())),
        }
    }

    /// How two values compare; nothing if one of them is NULL.
    pub fn compare(&self, other: &Self) -> Result<Option<Ordering>, String> {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => Ok(None),
            (Self::Bool(_), Self::Bool(_)) | (Self::Text(_), Self::Text(_)) => Ok(Some(self.order(other))),
            (Self::Int(_) | Self::Float(_), Self::Int(_) | Self::Float(_)) => Ok(Some(self.order(other))),
            _ => Err(format!("cannot compare {} with {}; CAST one of them", self.shown(), other.shown())),
        }
    }

    /// The order of sorting: by type, then by value, NULL last.
    pub fn order(&self, other: &Self) -> Ordering {
        let rank = |value: &Self| match value {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Float(_) => 1,
            Self::Text(_) => 2,
            Self::Null => 3,
        };
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Int(a), Self::Float(b)) => (*a as f64).total_cmp(b),
            (Self::Float(a), Self::Int(b)) => a.total_cmp(&(*b as f64)),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => rank(self).cmp(&rank(other)),
        }
    }

    pub fn key(&self) -> Key {
        match self {
            Self::Null => Key::Null,
            Self::Bool(truth) => Key::Bool(*truth),
            Self::Int(number) => Key::Int(*number),
            Self::Float(number) => whole(*number).map_or(Key::Float(number.to_bits()), Key::Int),
            Self::Text(text) => Key::Text(text.clone()),
        }
    }

    pub fn calculate(&self, operation: Operation, other: &Self) -> Result<Self, String> {
        if self.is_null() || other.is_null() {
            return Ok(Self::Null);
        }
        let by_zero = || "division by zero; use NULLIF(divisor, 0)".to_owned();
        if let (Self::Int(a), Self::Int(b)) = (self, other) {
            let result = match operation {
                Operation::Add => a.checked_add(*b),
                Operation::Subtract => a.checked_sub(*b),
                Operation::Multiply => a.checked_mul(*b),
                Operation::Modulo if *b == 0 => return Err(by_zero()),
                Operation::Modulo => Some(a.wrapping_rem(*b)),
                Operation::Divide if *b != 0 && a.wrapping_rem(*b) == 0 => a.checked_div(*b),
                Operation::Divide => return self.divide(other),
            };
            return result.map(Self::Int).ok_or_else(|| "a whole number is out of range".to_owned());
        }
        let (a, b) = (self.number()?, other.number()?);
        match operation {
            Operation::Add => Self::float(a + b),
            Operation::Subtract => Self::float(a - b),
            Operation::Multiply => Self::float(a * b),
            Operation::Divide => self.divide(other),
            Operation::Modulo if b == 0.0 => Err(by_zero()),
            Operation::Modulo => Self::float(a % b),
        }
    }

    fn divide(&self, other: &Self) -> Result<Self, String> {
        match other.number()? {
            0.0 => Err("division by zero; use NULLIF(divisor, 0)".to_owned()),
            divisor => Self::float(self.number()? / divisor),
        }
    }

    pub fn json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Int(number) => Json::from(*number),
            Self::Float(number) => match (rounded(*number), whole(rounded(*number))) {
                (_, Some(number)) if number.unsigned_abs() < EXACT_MAX => Json::from(number),
                (number, _) => Json::from(number),
            },
            Self::Text(text) => Json::String(text.to_string()),
        }
    }

    /// For messages: short, with quotes around text.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) if text.chars().count() > SHOWN_CHARS_MAX => {
                format!("'{}…'", text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
            }
            Self::Text(text) => format!("'{text}'"),
            other => other.to_string(),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Text(text) => f.write_str(text),
            other => write!(f, "{}", other.json()),
        }
    }
}

/// The whole number that a float is, if it is one.
fn whole(number: f64) -> Option<i64> {
    let fits = number.fract() == 0.0 && (-WHOLE_LIMIT..WHOLE_LIMIT).contains(&number);
    fits.then_some(number as i64)
}

/// A number without the digits that are only noise of floating point.
fn rounded(number: f64) -> f64 {
    format!("{number:.14e}").parse().unwrap_or(number)
}

/// 2^63, the first float beyond whole numbers.
const WHOLE_LIMIT: f64 = 9_223_372_036_854_775_808.0;
const EXACT_MAX: u64 = 1_000_000_000_000_000;
const SHOWN_CHARS_MAX: usize = 30;
