//! FROM: tables and how they are joined.

use std::collections::HashMap;

use sqlparser::ast::{BinaryOperator, Expr, JoinConstraint, JoinOperator, ObjectName, TableFactor, TableWithJoins};

use crate::engine::expression::evaluate;
use crate::engine::query::{aliased, query};
use crate::engine::scope::{Column, Context, Relation, Row, Scope, find, place_of};
use crate::value::{Key, Value};

/// All that FROM names, as one relation; a single row without columns if there is nothing.
pub fn from(from: &[TableWithJoins], context: Context<'_>) -> Result<Relation, String> {
    let mut all = Relation { columns: Vec::new(), rows: vec![Vec::new()] };
    for table in from {
        let mut joined = factor(&table.relation, context)?;
        for step in &table.joins {
            let right = factor(&step.relation, context)?;
            joined = join(joined, right, &step.join_operator, context)?;
        }
        all = if all.columns.is_empty() {
            joined
        } else {
            matched(all, joined, &Terms::default(), Outer::default(), context)?
        };
    }
    Ok(all)
}

fn factor(factor: &TableFactor, context: Context<'_>) -> Result<Relation, String> {
    match factor {
        TableFactor::Table { name, alias, args: None, version: None, sample: None, json_path: None, .. } => {
            let name = simple(name)?;
            let table = context.tables.find(&name)?;
            let alias = alias.as_ref();
            let names = alias.map(|alias| alias.columns.as_slice()).unwrap_or_default();
            let table_name = alias.map_or(&*name, |alias| &*alias.name.value);
            aliased(&table, table_name, names.iter().map(|column| &*column.name.value))
        }
        TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None } => {
            let found = query(subquery, context)?;
            aliased(&found, &alias.name.value, alias.columns.iter().map(|column| &*column.name.value))
        }
        TableFactor::Derived { lateral: false, alias: None, .. } => {
            Err("a SELECT in FROM needs a name: (SELECT …) AS t".to_owned())
        }
        TableFactor::NestedJoin { table_with_joins, alias: None } => {
            from(std::slice::from_ref(&**table_with_joins), context)
        }
        other => Err(format!("{other} is not understood in FROM")),
    }
}

fn simple(name: &ObjectName) -> Result<String, String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(|ident| ident.value.clone()).ok_or_else(|| format!("{name} is no table")),
        _ => Err(format!("{name} is no table: names have one part")),
    }
}

/// Which rows without a partner stay.
#[derive(Default, Clone, Copy)]
struct Outer {
    left: bool,
    right: bool,
}

/// What joined rows have to fulfil.
#[derive(Default)]
struct Terms<'a> {
    on: Option<&'a Expr>,
    /// Columns left and right that have to be equal; what makes joins fast.
    equal: Vec<(usize, usize)>,
}

fn join(left: Relation, mut right: Relation, join: &JoinOperator, context: Context<'_>) -> Result<Relation, String> {
    let (constraint, outer) = match join {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) | JoinOperator::CrossJoin(constraint) => {
            (constraint, Outer::default())
        }
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
            (constraint, Outer { left: true, right: false })
        }
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (constraint, Outer { left: false, right: true })
        }
        JoinOperator::FullOuter(constraint) => (constraint, Outer { left: true, right: true }),
        _ => return Err("this kind of JOIN is not understood".to_owned()),
    };
    let terms = match constraint {
        JoinConstraint::None => Terms::default(),
        JoinConstraint::Natural => return Err("NATURAL JOIN is not understood; use ON or USING".to_owned()),
        JoinConstraint::On(on) => {
            let mut equal = Vec::new();
            equalities(on, &left.columns, &right.columns, &mut equal);
            Terms { on: Some(on), equal }
        }
        JoinConstraint::Using(_) if outer.right => {
            return Err("RIGHT and FULL JOIN need ON instead of USING".to_owned());
        }
        JoinConstraint::Using(names) => {
            let mut equal = Vec::new();
            for name in names {
                let name = simple(name)?;
                let (Some(a), Some(b)) = (find(&left.columns, None, &name)?, find(&right.columns, None, &name)?) else {
                    return Err(format!("USING: column {name} is not on both sides"));
                };
                right.columns.get_mut(b).into_iter().for_each(|column| column.hidden = true);
                equal.push((a, b));
            }
            Terms { on: None, equal }
        }
    };
    matched(left, right, &terms, outer, context)
}

/// Finds what a condition demands to be equal, as far as that is one column on each side.
fn equalities(on: &Expr, left: &[Column], right: &[Column], found: &mut Vec<(usize, usize)>) {
    match on {
        Expr::Nested(inner) => equalities(inner, left, right, found),
        Expr::BinaryOp { left: a, op: BinaryOperator::And, right: b } => {
            equalities(a, left, right, found);
            equalities(b, left, right, found);
        }
        Expr::BinaryOp { left: a, op: BinaryOperator::Eq, right: b } => {
            let places = |a: &Expr, b: &Expr| {
                let only = |expr, own, other| place_of(own, expr).filter(|_| place_of(other, expr).is_none());
                Some((only(a, left, right)?, only(b, right, left)?))
            };
            found.extend(places(a, b).or_else(|| places(b, a)));
        }
        _ => {}
    }
}

fn matched(
    left: Relation,
    right: Relation,
    terms: &Terms<'_>,
    outer: Outer,
    context: Context<'_>,
) -> Result<Relation, String> {
    let columns: Vec<Column> = left.columns.iter().chain(&right.columns).cloned().collect();
    let rows_max = CELLS_MAX / columns.len().max(1);
    let key = |row: &Row, places: &mut dyn Iterator<Item = usize>| -> Option<Vec<Key>> {
        let keys = places.map(|at| row.get(at).filter(|value| !value.is_null()).map(Value::key));
        keys.collect()
    };
    let mut partners: HashMap<Vec<Key>, Vec<usize>> = HashMap::new();
    for (at, row) in right.rows.iter().enumerate() {
        if let Some(key) = key(row, &mut terms.equal.iter().map(|(_, right)| *right)) {
            partners.entry(key).or_default().push(at);
        }
    }
    for (a, b) in &terms.equal {
        // Columns of different types have no partners; that is a mistake rather than an answer.
        let some =
            |rows: &[Row], at: usize| rows.iter().filter_map(|row| row.get(at)).find(|value| !value.is_null()).cloned();
        if let (Some(a), Some(b)) = (some(&left.rows, *a), some(&right.rows, *b)) {
            a.compare(&b)?;
        }
    }
    let (mut rows, mut met): (Vec<Row>, _) = (Vec::new(), vec![false; right.rows.len()]);
    for row in &left.rows {
        let own = key(row, &mut terms.equal.iter().map(|(left, _)| *left));
        let found = own.and_then(|key| partners.get(&key)).map(Vec::as_slice).unwrap_or_default();
        let before = rows.len();
        for at in found {
            let Some(other) = right.rows.get(*at) else { continue };
            let both: Row = row.iter().chain(other).cloned().collect();
            let fits = match terms.on {
                None => true,
                Some(on) => evaluate(on, &Scope::of_row(context, &columns, &both))?.truth()? == Some(true),
            };
            if fits {
                rows.push(both);
                met.get_mut(*at).into_iter().for_each(|met| *met = true);
            }
            if rows.len() > rows_max {
                return Err(format!("a join has more than {rows_max} rows; add a condition or join fewer columns"));
            }
        }
        if outer.left && rows.len() == before {
            rows.push(row.iter().cloned().chain(right.columns.iter().map(|_| Value::Null)).collect());
        }
    }
    if outer.right {
        let alone = right.rows.iter().zip(met).filter(|(_, met)| !met);
        rows.extend(
            alone.map(|(row, _)| left.columns.iter().map(|_| Value::Null).chain(row.iter().cloned()).collect()),
        );
    }
    Ok(Relation { columns, rows })
}

const CELLS_MAX: usize = 3_000_000;
