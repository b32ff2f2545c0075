//! What the columns of a table hold.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::answer::{cell, counted};
use crate::input::{Cell, Rows};
use crate::value::Value;

#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Float,
    Boolean,
    Text,
}

/// The rows of a table as values: each column has the type that all of its values fit.
pub fn typed(table: &Rows) -> Vec<Vec<Value>> {
    let kinds: Vec<_> = (0..table.columns.len()).map(|column| kind(table, column)).collect();
    let typed = |row: &Vec<Cell>| -> Vec<Value> {
        row.iter().zip(&kinds).map(|(cell, kind)| value(cell, *kind).unwrap_or(Value::Null)).collect()
    };
    table.rows.iter().map(typed).collect()
}

fn kind(table: &Rows, column: usize) -> Kind {
    let cells = || table.rows.iter().filter_map(|row| row.get(column)).filter(|cell| !matches!(cell, Cell::Empty));
    if cells().next().is_none() {
        return Kind::Text;
    }
    let fits = |kind: &Kind| cells().all(|cell| value(cell, *kind).is_some());
    [Kind::Integer, Kind::Float, Kind::Boolean].into_iter().find(fits).unwrap_or(Kind::Text)
}

/// A cell as a value of this type, if it is one.
fn value(cell: &Cell, kind: Kind) -> Option<Value> {
    let text = match (cell, kind) {
        (Cell::Empty, _) => return Some(Value::Null),
        (Cell::Plain(text) | Cell::Text(text), Kind::Text) => return Some(Value::text(text.as_str())),
        (Cell::Text(_), _) => return None,
        (Cell::Plain(text), _) => text.as_str(),
    };
    match kind {
        Kind::Integer if is_number(text) => text.parse().ok().map(Value::Int),
        Kind::Float if is_number(text) => Value::float(text.parse().ok()?).ok(),
        Kind::Boolean if text.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
        Kind::Boolean if text.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
        _ => None,
    }
}

/// Digits, at most one point, perhaps a sign and an exponent. What begins with a zero that counts for nothing, as
/// telephone numbers and postal codes do, is text.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let padded = digits.starts_with('0') && digits.chars().nth(1).is_some_and(|letter| letter.is_ascii_digit());
    let letters = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | 'e' | 'E' | '-' | '+');
    !padded && digits.chars().all(letters)
}

/// A table in words: rows, columns, types, counts.
pub fn describe(table: &Rows) -> String {
    let mut text = format!("**{}**: {}\n\n", cell(&table.name), counted(table.rows.len()));
    text.push_str("| column | type | empty | different | least | greatest |\n|---|---|---|---|---|---|\n");
    let rows = typed(table);
    for (index, name) in table.columns.iter().enumerate() {
        let kind = match kind(table, index) {
            Kind::Integer => "INTEGER",
            Kind::Float => "FLOAT",
            Kind::Boolean => "BOOLEAN",
            Kind::Text => "TEXT",
        };
        let values = || rows.iter().filter_map(|row| row.get(index)).filter(|value| !value.is_null());
        let (empty, different) =
            (rows.len() - values().count(), values().map(Value::key).collect::<HashSet<_>>().len());
        let least = values().min_by(|a, b| a.order(b)).map_or(String::new(), shown);
        let greatest = values().max_by(|a, b| a.order(b)).map_or(String::new(), shown);
        let name = cell(name);
        writeln!(text, "| {name} | {kind} | {empty} | {different} | {least} | {greatest} |").unwrap_or_default();
    }
    text.trim_end().to_owned()
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", cell(text.get(..at).unwrap_or_default())),
        None => cell(&text),
    }
}

const SHOWN_CHARS_MAX: usize = 30;
