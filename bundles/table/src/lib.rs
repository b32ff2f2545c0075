//! SQL over CSV and JSON lines that the caller brings along, parsed by sqlparser and evaluated here, row by row.
//!
//! No SQL engine in pure Rust was found that answers rightly, never panics and has a licence for this repository.

mod answer;
mod columns;
mod engine;
mod input;
mod value;

use certosa_sdk::{prompt, resource, tool};

use crate::answer::Answer;
use crate::input::Table;

/// Answers a question about tables in CSV or JSON lines with an SQL SELECT, and returns the rows as a Markdown table
/// and as JSON.
///
/// Use it to filter, sort, join, group, count and sum instead of doing that by eye. Each table has a name that the SQL
/// uses; the types of its columns are found from their values, and empty values are NULL. Names with spaces stand in
/// double quotes. Joins, subqueries, WITH and UNION work, window functions do not; table://sql has the rest.
/// Example: tables `[{"name": "sales", "data": "city,amount\nRome,3\nBari,4"}]`,
/// sql `SELECT city, SUM(amount) AS total FROM sales GROUP BY city ORDER BY total DESC`.
#[tool(title = "Query tables with SQL", read_only, idempotent)]
fn query(
    /// The tables, at most 10 with 4 MiB in all.
    tables: Vec<Table>,
    /// One SELECT, at most 4,000 bytes.
    sql: String,
    /// Show at most this many rows. Default: 100; at most 1000.
    rows_max: Option<usize>,
) -> Result<Answer, String> {
    let tables = input::read(&tables)?;
    let (columns, rows) = engine::run(&tables, &sql)?;
    Ok(Answer::new(columns, &rows, rows_max.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX)))
}

/// Describes the tables that `query` would see: how many rows, and for every column its name, type, how many values are
/// empty and how many differ, its least and greatest value.
///
/// Use it before the first `query`, to learn names and types.
#[tool(title = "Describe tables", read_only, idempotent)]
fn describe(
    /// The tables, at most 10 with 4 MiB in all.
    tables: Vec<Table>,
) -> Result<String, String> {
    let described: Vec<_> = input::read(&tables)?.iter().map(columns::describe).collect();
    Ok(described.join("\n\n"))
}

/// Starts a conversation about a table.
#[prompt(title = "Explore a table")]
fn explore_table(
    /// The table in CSV, or as JSON lines.
    data: String,
    /// What you want to know. Default: what is in it.
    question: Option<String>,
) -> Result<String, String> {
    let table = Table::unnamed(data.clone());
    let described: Vec<_> = input::read(std::slice::from_ref(&table))?.iter().map(columns::describe).collect();
    let described = described.join("\n");
    let question = question.unwrap_or_else(|| "What is in this table? Show what is remarkable about it.".to_owned());
    let fence = "`".repeat(data.split(|letter| letter != '`').map(str::len).max().unwrap_or(0).max(2) + 1);
    Ok(format!(
        "{question}\n\nAnswer from the table below. Use the tool `query` with SQL for everything that has to be counted, \
         summed, sorted or compared; pass the table under the name `data`, unchanged. Say which query an answer comes \
         from.\n\n{described}\n\n{fence}\n{}\n{fence}",
        data.trim_end()
    ))
}

/// The SQL that `query` understands: clauses, functions, types, and what is not in it, with examples.
#[resource(uri = "table://sql", title = "SQL of the tables", mime_type = "text/markdown")]
fn sql() -> &'static str {
    include_str!("sql.md")
}

const ROWS_DEFAULT: usize = 100;
const ROWS_MAX: usize = 1_000;

certosa_sdk::bundle!(tools: [query, describe], prompts: [explore_table], resources: [sql]);
