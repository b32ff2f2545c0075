//! From the caller's text to rows of cells.

use std::collections::HashSet;

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Deserialize;
use certosa_sdk::serde_json::{Map, Value};
use csv::{ReaderBuilder, StringRecord};

/// A table as the caller gives it.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde", deny_unknown_fields)]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Table {
    /// What the SQL calls it: letters, digits and `_`.
    name: String,
    /// CSV whose first line has the names of the columns, or JSON lines: one object per line.
    data: String,
    /// What `data` is. Default: JSON lines if it begins with `{`, else CSV.
    format: Option<Format>,
    /// What separates the values of CSV, one character. Default: the one out of `,` `;` tab `|` that the first line has
    /// most of.
    delimiter: Option<String>,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(crate = "certosa_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "certosa_sdk::schemars")]
enum Format {
    Csv,
    Jsonl,
}

/// A table as it was read.
pub struct Rows {
    pub name: String,
    pub columns: Vec<String>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

#[derive(Clone)]
pub enum Cell {
    Empty,
    /// Whatever it looks like.
    Plain(String),
    /// Text, even if it looks like a number.
    Text(String),
}

impl Table {
    pub fn unnamed(data: String) -> Self {
        Self { name: "data".to_owned(), data, format: None, delimiter: None }
    }

    fn read(&self) -> Result<Rows, String> {
        let named = self.name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        if !named || self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return Err(format!("`{}` is no name for a table: use letters, digits and _", self.name));
        }
        let data = self.data.trim_start_matches('\u{feff}');
        let default = if data.trim_start().starts_with('{') { Format::Jsonl } else { Format::Csv };
        let (columns, rows) = match self.format.unwrap_or(default) {
            Format::Csv => csv(data, self.delimiter.as_deref()),
            Format::Jsonl => json_lines(data),
        }
        .map_err(|error| format!("table {}: {error}", self.name))?;
        Ok(Rows { name: self.name.clone(), columns, rows })
    }
}

pub fn read(tables: &[Table]) -> Result<Vec<Rows>, String> {
    let bytes: usize = tables.iter().map(|table| table.data.len()).sum();
    match tables.len() {
        0 => return Err("`tables` is empty: give at least one".to_owned()),
        1..=TABLES_MAX => {}
        count => return Err(format!("{count} tables are too many: at most {TABLES_MAX}")),
    }
    if bytes > BYTES_MAX {
        return Err(format!("the tables have {bytes} bytes; at most {BYTES_MAX}, so leave out rows or columns"));
    }
    let mut names = HashSet::new();
    if let Some(twice) = tables.iter().find(|table| !names.insert(&table.name)) {
        return Err(format!("two tables have the name `{}`", twice.name));
    }
    let tables = tables.iter().map(Table::read).collect::<Result<Vec<_>, _>>()?;
    let cells: usize = tables.iter().map(|table| table.rows.len() * table.columns.len()).sum();
    if cells > CELLS_MAX {
        return Err(format!("the tables have {cells} cells; at most {CELLS_MAX}, so leave out rows or columns"));
    }
    Ok(tables)
}

fn csv(data: &str, delimiter: Option<&str>) -> Result<(Vec<String>, Vec<Vec<Cell>>), String> {
    let delimiter = match delimiter.map(str::as_bytes) {
        None => likely_delimiter(data),
        Some([letter]) => *letter,
        Some(_) => return Err("`delimiter` has to be one ASCII character".to_owned()),
    };
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(data.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let columns = column_names(header.iter())?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record: StringRecord = record.map_err(|error| error.to_string())?;
        if record.len() > columns.len() {
            let line = record.position().map_or(0, csv::Position::line);
            let (has, names) = (record.len(), columns.len());
            return Err(format!(
                "line {line} has {has} values, but there are {names} columns; quote values that contain the delimiter"
            ));
        }
        let mut row: Vec<Cell> = record.iter().map(plain).collect();
        row.resize(columns.len(), Cell::Empty);
        rows.push(row);
    }
    Ok((columns, rows))
}

fn plain(value: &str) -> Cell {
    match value.trim() {
        "" => Cell::Empty,
        value => Cell::Plain(value.to_owned()),
    }
}

fn likely_delimiter(data: &str) -> u8 {
    let first = data.lines().next().unwrap_or_default();
    let count = |delimiter: &u8| first.bytes().filter(|byte| byte == delimiter).count();
    // Of equals the last one wins.
    DELIMITERS.into_iter().max_by_key(count).unwrap_or(b',')
}

fn json_lines(data: &str) -> Result<(Vec<String>, Vec<Vec<Cell>>), String> {
    let mut objects: Vec<Map<String, Value>> = Vec::new();
    for (number, line) in data.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let object = certosa_sdk::serde_json::from_str(line);
        objects.push(object.map_err(|error| format!("line {} is not a JSON object: {error}", number + 1))?);
    }
    let mut seen = HashSet::new();
    let keys: Vec<&String> = objects.iter().flat_map(Map::keys).filter(|key| seen.insert(*key)).collect();
    let columns = column_names(keys.iter().map(|key| key.as_str()))?;
    if columns.len() * objects.len() > CELLS_MAX {
        return Err(format!("more than {CELLS_MAX} cells; leave out rows or keys"));
    }
    let rows = objects.iter().map(|object| keys.iter().map(|key| json_cell(object.get(*key))).collect());
    Ok((columns, rows.collect()))
}

fn json_cell(value: Option<&Value>) -> Cell {
    match value {
        None | Some(Value::Null) => Cell::Empty,
        Some(Value::String(text)) => Cell::Text(text.clone()),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => Cell::Plain(value.to_string()),
        Some(nested) => Cell::Text(nested.to_string()),
    }
}

/// Every column gets a name of its own.
fn column_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<String>, String> {
    let mut taken = HashSet::new();
    let mut columns = Vec::new();
    for (index, name) in names.enumerate() {
        let name = match name.trim() {
            "" => format!("column_{}", index + 1),
            name => name.to_owned(),
        };
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name));
        if let Some(free) = free {
            taken.insert(free.clone());
            columns.push(free);
        }
        if columns.len() > COLUMNS_MAX {
            return Err(format!("more than {COLUMNS_MAX} columns"));
        }
    }
    if columns.is_empty() { Err("there are no columns: the data is empty".to_owned()) } else { Ok(columns) }
}

const DELIMITERS: [u8; 4] = [b'|', b'\t', b';', b','];
const TABLES_MAX: usize = 10;
const BYTES_MAX: usize = 4 << 20;
const CELLS_MAX: usize = 500_000;
const COLUMNS_MAX: usize = 200;
const NAME_BYTES_MAX: usize = 60;
