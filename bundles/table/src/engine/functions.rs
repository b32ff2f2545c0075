//! Functions of single values.

use std::cmp::Ordering;

use crate::value::{Operation, Value};

pub fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match (name, arguments) {
        ("COALESCE" | "IFNULL" | "NVL", [_, ..]) => {
            Ok(arguments.iter().find(|value| !value.is_null()).cloned().unwrap_or(Value::Null))
        }
        ("NULLIF", [a, b]) => Ok(if a.compare(b)? == Some(Ordering::Equal) { Value::Null } else { a.clone() }),
        ("IIF" | "IF", [condition, yes, no]) => Ok(if condition.truth()? == Some(true) { yes } else { no }.clone()),
        ("CONCAT", [_, ..]) => Ok(Value::text(joined(arguments, ""))),
        ("CONCAT_WS", [separator, rest @ ..]) => Ok(Value::text(joined(rest, &separator.to_string()))),
        ("GREATEST", [_, ..]) => Ok(most(arguments, Ordering::Greater)?),
        ("LEAST", [_, ..]) => Ok(most(arguments, Ordering::Less)?),
        _ if !NUMBERS.contains(&name) && !TEXTS.contains(&name) => {
            let (numbers, texts) = (NUMBERS.join(" "), TEXTS.join(" "));
            Err(format!(
                "there is no function {name}; there are {numbers} {texts} COALESCE NULLIF IIF CONCAT GREATEST LEAST"
            ))
        }
        _ if arguments.iter().any(Value::is_null) => Ok(Value::Null),
        (name, arguments) if NUMBERS.contains(&name) => number(name, arguments),
        (name, arguments) => text(name, arguments),
    }
}

fn number(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let float = |calculate: fn(f64) -> f64, value: &Value| Value::float(calculate(value.number()?));
    match (name, arguments) {
        ("FLOOR" | "CEIL" | "CEILING" | "TRUNC" | "ROUND" | "ABS", [Value::Int(number)]) if *number != i64::MIN => {
            Ok(Value::Int(if name == "ABS" { number.abs() } else { *number }))
        }
        ("ABS", [value]) => float(f64::abs, value),
        ("FLOOR", [value]) => float(f64::floor, value),
        ("CEIL" | "CEILING", [value]) => float(f64::ceil, value),
        ("TRUNC", [value]) => float(f64::trunc, value),
        ("ROUND", [value]) => float(f64::round, value),
        ("ROUND", [value, places]) => {
            let places = usize::try_from(places.int()?).ok().filter(|places| *places <= PLACES_MAX);
            let places = places.ok_or_else(|| format!("ROUND takes 0 to {PLACES_MAX} decimal places"))?;
            let number = value.number()?;
            let scaled = number * 10f64.powi(i32::try_from(places).unwrap_or_default());
            // Halves that floating point has just missed go up all the same.
            let rounded = (scaled + scaled.signum() * scaled.abs() * f64::EPSILON).round();
            match scaled.abs() < SCALED_MAX {
                true => Value::float(rounded / 10f64.powi(i32::try_from(places).unwrap_or_default())),
                false => Value::float(number),
            }
        }
        ("SIGN", [value]) => Ok(Value::Int(match value.number()? {
            0.0 => 0,
            number if number < 0.0 => -1,
            _ => 1,
        })),
        ("SQRT", [value]) => float(f64::sqrt, value),
        ("EXP", [value]) => float(f64::exp, value),
        ("LN", [value]) => float(f64::ln, value),
        ("LOG10", [value]) => float(f64::log10, value),
        ("LOG2", [value]) => float(f64::log2, value),
        ("POWER", [base, exponent]) => Value::float(base.number()?.powf(exponent.number()?)),
        ("MOD", [a, b]) => a.calculate(Operation::Modulo, b),
        _ => Err(format!("{name} does not take {} arguments", arguments.len())),
    }
}

fn text(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let texts: Vec<String> = arguments.iter().map(Value::to_string).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let count = |value: &Value| Ok::<_, String>(usize::try_from(value.int()?.max(0)).unwrap_or(usize::MAX));
    let length = |text: &str| i64::try_from(text.chars().count()).map_err(|error| error.to_string());
    let set = |text: &str| text.chars().collect::<Vec<_>>();
    match (name, texts.as_slice(), arguments) {
        ("UPPER", [text], _) => Ok(Value::text(text.to_uppercase())),
        ("LOWER", [text], _) => Ok(Value::text(text.to_lowercase())),
        ("LENGTH" | "CHAR_LENGTH", [text], _) => length(text).map(Value::Int),
        ("REVERSE", [text], _) => Ok(Value::text(text.chars().rev().collect::<String>())),
        ("TRIM", [text], _) => Ok(Value::text(text.trim())),
        ("LTRIM", [text], _) => Ok(Value::text(text.trim_start())),
        ("RTRIM", [text], _) => Ok(Value::text(text.trim_end())),
        ("TRIM", [text, letters], _) => Ok(Value::text(text.trim_matches(set(letters).as_slice()))),
        ("LTRIM", [text, letters], _) => Ok(Value::text(text.trim_start_matches(set(letters).as_slice()))),
        ("RTRIM", [text, letters], _) => Ok(Value::text(text.trim_end_matches(set(letters).as_slice()))),
        ("STARTS_WITH", [text, part], _) => Ok(Value::Bool(text.starts_with(part))),
        ("ENDS_WITH", [text, part], _) => Ok(Value::Bool(text.ends_with(part))),
        ("CONTAINS", [text, part], _) => Ok(Value::Bool(text.contains(part))),
        ("INSTR", [text, part], _) => match text.find(part).and_then(|at| text.get(..at)) {
            Some(before) => Ok(Value::Int(length(before)? + 1)),
            None => Ok(Value::Int(0)),
        },
        ("REPLACE", [text, "", _], _) => Ok(Value::text(*text)),
        ("REPLACE", [text, part, with], _) => {
            let grown = text.matches(part).count().saturating_mul(with.len());
            if grown > TEXT_BYTES_MAX {
                Err("the text of REPLACE gets too long".to_owned())
            } else {
                Ok(Value::text(text.replace(part, with)))
            }
        }
        ("LEFT", [text, _], [_, many]) => Ok(Value::text(text.chars().take(count(many)?).collect::<String>())),
        ("RIGHT", [text, _], [_, many]) => {
            let skipped = text.chars().count().saturating_sub(count(many)?);
            Ok(Value::text(text.chars().skip(skipped).collect::<String>()))
        }
        ("SUBSTR" | "SUBSTRING", [text, ..], [_, from, many @ ..]) if many.len() <= 1 => {
            let from = from.int()?;
            // Positions before the first letter count, as in the standard.
            let until =
                many.first().map(|many| Ok::<_, String>(from.saturating_add(many.int()?.max(0)))).transpose()?;
            let letters =
                text.chars().zip(1i64..).filter(|(_, at)| *at >= from && until.is_none_or(|until| *at < until));
            Ok(Value::text(letters.map(|(letter, _)| letter).collect::<String>()))
        }
        _ => Err(format!("{name} does not take {} arguments", arguments.len())),
    }
}

/// Whether a text fits a pattern of `%` (any letters) and `_` (one letter).
pub fn like(value: &Value, pattern: &Value, ignore_case: bool) -> Result<Option<bool>, String> {
    let (Value::Text(text), Value::Text(pattern)) = (value, pattern) else {
        return match value.is_null() || pattern.is_null() {
            true => Ok(None),
            false => Err(format!("LIKE needs texts, not {}; CAST it", value.shown())),
        };
    };
    let letters = |text: &str| match ignore_case {
        true => text.to_lowercase().chars().collect::<Vec<_>>(),
        false => text.chars().collect(),
    };
    Ok(Some(fits(&letters(text), &letters(pattern))))
}

/// Tries the shortest stretch for each `%`, and goes back only to the last one.
fn fits(text: &[char], pattern: &[char]) -> bool {
    let (mut at, mut place, mut retry) = (0, 0, None);
    while let Some(letter) = text.get(at) {
        match pattern.get(place) {
            Some('%') => {
                retry = Some((at, place));
                place += 1;
            }
            Some(wanted) if *wanted == '_' || wanted == letter => (at, place) = (at + 1, place + 1),
            _ => match retry {
                Some((from, percent)) => {
                    retry = Some((from + 1, percent));
                    (at, place) = (from + 1, percent + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(place).all(|letter| *letter == '%')
}

fn joined(values: &[Value], separator: &str) -> String {
    let texts: Vec<_> = values.iter().filter(|value| !value.is_null()).map(Value::to_string).collect();
    texts.join(separator)
}

fn most(values: &[Value], wanted: Ordering) -> Result<Value, String> {
    let mut values = values.iter().filter(|value| !value.is_null());
    let Some(first) = values.next() else { return Ok(Value::Null) };
    let most = values.try_fold(first, |most, value| {
        Ok::<_, String>(if value.compare(most)? == Some(wanted) { value } else { most })
    });
    most.cloned()
}

const NUMBERS: [&str; 14] =
    ["ABS", "ROUND", "FLOOR", "CEIL", "CEILING", "TRUNC", "SIGN", "SQRT", "POWER", "EXP", "LN", "LOG10", "LOG2", "MOD"];
const TEXTS: [&str; 17] = [
    "UPPER",
    "LOWER",
    "LENGTH",
    "CHAR_LENGTH",
    "TRIM",
    "LTRIM",
    "RTRIM",
    "SUBSTR",
    "SUBSTRING",
    "LEFT",
    "RIGHT",
    "REPLACE",
    "REVERSE",
    "INSTR",
    "STARTS_WITH",
    "ENDS_WITH",
    "CONTAINS",
];
const PLACES_MAX: usize = 15;
const SCALED_MAX: f64 = 1e15;
const TEXT_BYTES_MAX: usize = 4 << 20;
