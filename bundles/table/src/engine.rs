//! A SELECT, evaluated as it stands in the syntax tree.

mod aggregate;
mod expression;
mod functions;
mod join;
mod query;
mod scope;
mod select;

use std::collections::HashMap;
use std::rc::Rc;

use sqlparser::ast::Statement;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::columns;
use crate::engine::scope::{Column, Context, Relation, State, Tables};
use crate::input::Rows;
use crate::value::Value;

/// The names of the columns, and the rows.
pub fn run(tables: &[Rows], sql: &str) -> Result<(Vec<String>, Vec<Vec<Value>>), String> {
    bounded(sql)?;
    let statements =
        Parser::parse_sql(&GenericDialect {}, sql).map_err(|error| format!("the SQL is wrong: {error}"))?;
    let [Statement::Query(query)] = statements.as_slice() else {
        return Err("`sql` has to be one SELECT; nothing else is understood".to_owned());
    };
    let named = tables.iter().map(|table| (table.name.clone(), Rc::new(relation(table))));
    let tables = Tables { own: named.collect::<HashMap<_, _>>(), parent: None, fixed: true };
    let state = State::default();
    let answer = query::query(query, Context { tables: &tables, outer: None, state: &state })?;
    let names = answer.columns.iter().map(|column| column.name.to_string());
    Ok((names.collect(), answer.rows.clone()))
}

fn relation(table: &Rows) -> Relation {
    let column =
        |name: &String| Column { table: Some(table.name.as_str().into()), name: name.as_str().into(), hidden: false };
    Relation { columns: table.columns.iter().map(column).collect(), rows: columns::typed(table) }
}

/// Refuses what would make the evaluator call itself too deep: it does so once for every operator in a row.
fn bounded(sql: &str) -> Result<(), String> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(format!("`sql` has {} bytes; at most {SQL_BYTES_MAX}", sql.len()));
    }
    let mut quote = None;
    let outside = sql.chars().filter(|letter| match (quote, *letter) {
        (None, '\'' | '"' | '`') => {
            quote = Some(*letter);
            false
        }
        (None, _) => true,
        (Some(open), letter) => {
            quote = (open != letter).then_some(open);
            false
        }
    });
    let outside: String = outside.collect();
    let words = outside.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let words = words.filter(|word| OPERATORS.iter().any(|operator| word.eq_ignore_ascii_case(operator))).count();
    let signs = outside.chars().filter(|letter| "+-*/%|&<>=~!:([^".contains(*letter)).count();
    match words + signs {
        ..=OPERATORS_MAX => Ok(()),
        count => {
            Err(format!("`sql` has {count} operators and brackets; at most {OPERATORS_MAX}. Use IN (…) for lists"))
        }
    }
}

const OPERATORS: [&str; 14] = [
    "and",
    "or",
    "not",
    "is",
    "isnull",
    "notnull",
    "like",
    "between",
    "case",
    "join",
    "union",
    "except",
    "intersect",
    "collate",
];
const OPERATORS_MAX: usize = 150;
const SQL_BYTES_MAX: usize = 4_000;
