//! What names mean at some place of a query.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use sqlparser::ast::Expr;

use crate::value::Value;

pub type Row = Vec<Value>;

pub struct Relation {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

#[derive(Clone)]
pub struct Column {
    pub table: Option<Rc<str>>,
    pub name: Rc<str>,
    /// The second of the two columns of USING: only found with its table's name.
    pub hidden: bool,
}

/// Tables by name: those of WITH before those outside of it.
pub struct Tables<'a> {
    pub own: HashMap<String, Rc<Relation>>,
    pub parent: Option<&'a Tables<'a>>,
    /// The same for every row: no WITH in a subquery has a part in them.
    pub fixed: bool,
}

/// Where a query stands.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub tables: &'a Tables<'a>,
    pub outer: Option<&'a Scope<'a>>,
    pub state: &'a State,
}

/// Where an expression stands.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub context: Context<'a>,
    pub columns: &'a [Column],
    pub row: &'a [Value],
    /// The rows that aggregates count, and what they are grouped by.
    pub group: Option<Group<'a>>,
    /// The names that the SELECT gives to its expressions.
    pub aliases: &'a [(&'a str, &'a Expr)],
}

#[derive(Clone, Copy)]
pub struct Group<'a> {
    pub rows: &'a [&'a Row],
    pub by: &'a [&'a Expr],
}

/// What is remembered while a query runs.
pub struct State {
    /// Results of subqueries that need nothing of the row they stand in, by their place in the tree.
    pub answers: RefCell<HashMap<usize, Rc<Relation>>>,
    /// The outermost level that a name was found on.
    pub outermost: Cell<usize>,
}

impl Default for State {
    fn default() -> Self {
        Self { answers: RefCell::default(), outermost: Cell::new(usize::MAX) }
    }
}

impl<'a> Tables<'a> {
    pub fn find(&self, name: &str) -> Result<Rc<Relation>, String> {
        let mut place = Some(self);
        while let Some(tables) = place {
            let loosely = || tables.own.iter().find(|(own, _)| own.to_lowercase() == name.to_lowercase());
            if let Some((_, table)) = tables.own.get_key_value(name).or_else(loosely) {
                return Ok(table.clone());
            }
            place = tables.parent;
        }
        Err(format!("there is no table {name}; there are {}", self.names().join(", ")))
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.own.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.extend(self.parent.map(Tables::names).unwrap_or_default());
        names
    }
}

impl<'a> Scope<'a> {
    pub fn of_row(context: Context<'a>, columns: &'a [Column], row: &'a [Value]) -> Self {
        Self { context, columns, row, group: None, aliases: &[] }
    }

    pub fn depth(&self) -> usize {
        self.context.outer.map_or(0, |outer| outer.depth() + 1)
    }

    /// The same place, looking at single rows.
    pub fn ungrouped(&self) -> Self {
        Self { group: None, ..*self }
    }

    /// The value of a column, here or in the queries around.
    pub fn value(&self, table: Option<&str>, name: &str) -> Result<Option<Value>, String> {
        if let Some(at) = find(self.columns, table, name)? {
            if let Some(group) = self.group {
                let same = |expr: &&Expr| place_of(self.columns, expr).is_some_and(|place| place == at);
                if !group.by.iter().any(same) {
                    return Err(format!("column {name} has to be in GROUP BY, or in an aggregate such as MAX({name})"));
                }
            }
            let outermost = &self.context.state.outermost;
            outermost.set(outermost.get().min(self.depth()));
            return Ok(Some(self.row.get(at).cloned().unwrap_or(Value::Null)));
        }
        self.context.outer.map_or(Ok(None), |outer| outer.value(table, name))
    }

    pub fn names(&self) -> String {
        let names: Vec<&str> =
            self.columns.iter().filter(|column| !column.hidden).map(|column| &*column.name).collect();
        if names.is_empty() { "none without FROM".to_owned() } else { names.join(", ") }
    }
}

/// The place of a column: by its name as written, else in any case of letters.
pub fn find(columns: &[Column], table: Option<&str>, name: &str) -> Result<Option<usize>, String> {
    let same = |a: &str, b: &str, exact: bool| if exact { a == b } else { a.to_lowercase() == b.to_lowercase() };
    for exact in [true, false] {
        let fits = |column: &Column| {
            let of_table = match (table, &column.table) {
                (None, _) => !column.hidden,
                (Some(table), Some(own)) => same(own, table, exact),
                (Some(_), None) => false,
            };
            of_table && same(&column.name, name, exact)
        };
        let mut places = columns.iter().enumerate().filter(|(_, column)| fits(column)).map(|(at, _)| at);
        match (places.next(), places.next()) {
            (Some(at), None) => return Ok(Some(at)),
            (Some(_), Some(_)) => return Err(format!("column {name} is in several tables: write table.{name}")),
            _ => {}
        }
    }
    Ok(None)
}

/// The place of the column that an expression is, if it is nothing but a column.
pub fn place_of(columns: &[Column], expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Identifier(name) => find(columns, None, &name.value).ok()?,
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, name] => find(columns, Some(&table.value), &name.value).ok()?,
            _ => None,
        },
        Expr::Nested(inner) => place_of(columns, inner),
        _ => None,
    }
}
