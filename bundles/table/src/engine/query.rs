//! Queries as a whole: WITH, UNION, ORDER BY, LIMIT.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use sqlparser::ast::{
    Expr, LimitClause, OrderBy, OrderByExpr, OrderByKind, OrderBySort, Query, SetExpr, SetOperator, SetQuantifier,
    Values,
};

use crate::engine::expression::evaluate;
use crate::engine::scope::{Column, Context, Relation, Row, Scope, Tables};
use crate::engine::select::select;
use crate::value::{Key, Value};

pub fn query(query: &Query, context: Context<'_>) -> Result<Rc<Relation>, String> {
    let refused = query.fetch.is_some() || !query.locks.is_empty() || query.for_clause.is_some();
    if refused || query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
        return Err("FETCH, FOR, SETTINGS, FORMAT and |> are not understood; use LIMIT".to_owned());
    }
    let Some(with) = &query.with else { return body(query, context) };
    if with.recursive {
        return Err("WITH RECURSIVE is not understood".to_owned());
    }
    let fixed = context.tables.fixed && context.outer.is_none();
    let mut tables = Tables { own: HashMap::new(), parent: Some(context.tables), fixed };
    for cte in &with.cte_tables {
        let found = self::query(&cte.query, Context { tables: &tables, ..context })?;
        let renamed =
            aliased(&found, &cte.alias.name.value, cte.alias.columns.iter().map(|column| &*column.name.value))?;
        tables.own.insert(cte.alias.name.value.clone(), Rc::new(renamed));
    }
    body(query, Context { tables: &tables, ..context })
}

/// A relation under another name, and perhaps with other names of columns.
pub fn aliased<'a>(
    relation: &Relation,
    table: &str,
    names: impl ExactSizeIterator<Item = &'a str>,
) -> Result<Relation, String> {
    if names.len() > relation.columns.len() {
        return Err(format!("{table} has more names than columns"));
    }
    let mut names = names;
    let column = |column: &Column| Column {
        table: Some(table.into()),
        name: names.next().map_or_else(|| column.name.clone(), Into::into),
        hidden: false,
    };
    Ok(Relation { columns: relation.columns.iter().map(column).collect(), rows: relation.rows.clone() })
}

fn body(query: &Query, context: Context<'_>) -> Result<Rc<Relation>, String> {
    let order = order_by(query.order_by.as_ref())?;
    let (columns, rows) = match &*query.body {
        SetExpr::Select(one) => select(one, order, context)?,
        other => {
            let relation = set(other, context)?;
            let keyed = relation.rows.iter().map(|row| {
                let scope = Scope::of_row(context, &relation.columns, row);
                let keys = order.iter().map(|by| sort_key(&by.expr, row, &scope)).collect::<Result<_, _>>()?;
                Ok((keys, row.clone()))
            });
            (relation.columns.clone(), keyed.collect::<Result<Vec<_>, String>>()?)
        }
    };
    let rows = limited(sorted(rows, order), query.limit_clause.as_ref(), context)?;
    Ok(Rc::new(Relation { columns, rows }))
}

/// What ORDER BY sorts a row by: a column of the result by number or name, else any expression.
pub fn sort_key(by: &Expr, row: &Row, scope: &Scope<'_>) -> Result<Value, String> {
    let Expr::Value(literal) = by else { return evaluate(by, scope) };
    let place = literal.to_string().parse::<usize>().ok().and_then(|number| row.get(number.checked_sub(1)?));
    place.cloned().ok_or_else(|| format!("ORDER BY {literal}: there is no such column"))
}

fn order_by(order: Option<&OrderBy>) -> Result<&[OrderByExpr], String> {
    match order.map(|order| (&order.kind, &order.interpolate)) {
        None => Ok(&[]),
        Some((OrderByKind::Expressions(by), None)) => Ok(by),
        Some(_) => Err("ORDER BY needs columns or expressions".to_owned()),
    }
}

fn sorted(mut rows: Vec<(Vec<Value>, Row)>, order: &[OrderByExpr]) -> Vec<Row> {
    rows.sort_by(|(a, _), (b, _)| {
        let mut pairs = a.iter().zip(b).zip(order);
        let differ = pairs.find_map(|((a, b), by)| {
            let nulls_first = by.options.nulls_first.unwrap_or(false);
            let order = match (a.is_null(), b.is_null()) {
                (false, false) if matches!(by.options.sort, Some(OrderBySort::Desc)) => b.order(a),
                (true, false) | (false, true) if nulls_first => b.is_null().cmp(&a.is_null()),
                _ => a.order(b),
            };
            order.is_ne().then_some(order)
        });
        differ.unwrap_or(std::cmp::Ordering::Equal)
    });
    rows.into_iter().map(|(_, row)| row).collect()
}

fn limited(rows: Vec<Row>, limit: Option<&LimitClause>, context: Context<'_>) -> Result<Vec<Row>, String> {
    let (limit, offset) = match limit {
        None => return Ok(rows),
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        Some(_) => return Err("LIMIT … BY is not understood".to_owned()),
    };
    let count = |expr: Option<&Expr>, default: usize| match expr {
        None => Ok(default),
        Some(expr) => {
            let number = evaluate(expr, &Scope::of_row(context, &[], &[]))?.int()?;
            usize::try_from(number).map_err(|_| format!("LIMIT and OFFSET cannot be {number}"))
        }
    };
    Ok(rows.into_iter().skip(count(offset, 0)?).take(count(limit, usize::MAX)?).collect())
}

fn set(body: &SetExpr, context: Context<'_>) -> Result<Rc<Relation>, String> {
    match body {
        SetExpr::Select(one) => {
            let (columns, rows) = select(one, &[], context)?;
            Ok(Rc::new(Relation { columns, rows: rows.into_iter().map(|(_, row)| row).collect() }))
        }
        SetExpr::Query(inner) => query(inner, context),
        SetExpr::Values(rows) => values(rows, context),
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            let (left, right) = (set(left, context)?, set(right, context)?);
            let (many, others) = (left.columns.len(), right.columns.len());
            if many != others {
                return Err(format!("{op} needs the same number of columns on both sides, not {many} and {others}"));
            }
            let keys = |row: &Row| row.iter().map(Value::key).collect::<Vec<Key>>();
            let known = || right.rows.iter().map(keys).collect::<HashSet<_>>();
            let rows = match (op, set_quantifier) {
                (SetOperator::Union, _) => left.rows.iter().chain(&right.rows).cloned().collect(),
                (_, SetQuantifier::All) => return Err(format!("{op} ALL is not understood")),
                (SetOperator::Intersect, _) => {
                    let known = known();
                    left.rows.iter().filter(|row| known.contains(&keys(row))).cloned().collect()
                }
                (SetOperator::Except | SetOperator::Minus, _) => {
                    let known = known();
                    left.rows.iter().filter(|row| !known.contains(&keys(row))).cloned().collect()
                }
            };
            let all = matches!(set_quantifier, SetQuantifier::All);
            let rows = if all { rows } else { distinct(rows, |row| row) };
            Ok(Rc::new(Relation { columns: left.columns.clone(), rows }))
        }
        _ => Err("only SELECT and VALUES are understood".to_owned()),
    }
}

/// Each row only once.
pub fn distinct<T>(rows: Vec<T>, row: impl Fn(&T) -> &Row) -> Vec<T> {
    let mut seen = HashSet::new();
    let keys = |item: &T| row(item).iter().map(Value::key).collect::<Vec<_>>();
    rows.into_iter().filter(|item| seen.insert(keys(item))).collect()
}

fn values(values: &Values, context: Context<'_>) -> Result<Rc<Relation>, String> {
    let scope = Scope::of_row(context, &[], &[]);
    let rows = values.rows.iter().map(|row| row.content.iter().map(|expr| evaluate(expr, &scope)).collect());
    let rows = rows.collect::<Result<Vec<Row>, String>>()?;
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width) {
        return Err("the rows of VALUES differ in length".to_owned());
    }
    let columns =
        (1..=width).map(|number| Column { table: None, name: format!("column_{number}").into(), hidden: false });
    Ok(Rc::new(Relation { columns: columns.collect(), rows }))
}
