//! One SELECT: which rows, in which groups, and what of them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, OrderByExpr, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, Visit,
    Visitor, WildcardAdditionalOptions,
};

use crate::engine::aggregate::is_aggregate;
use crate::engine::expression::evaluate;
use crate::engine::join::from;
use crate::engine::query::{distinct, sort_key};
use crate::engine::scope::{Column, Context, Group, Row, Scope, find};
use crate::value::{Key, Value};

/// The columns, and the rows with what they are sorted by.
pub type Selected = (Vec<Column>, Vec<(Vec<Value>, Row)>);

pub fn select(select: &Select, order: &[OrderByExpr], context: Context<'_>) -> Result<Selected, String> {
    understood(select)?;
    let source = from(&select.from, context)?;
    let items = items(&select.projection, &source.columns)?;
    let aliases: Vec<(&str, &Expr)> = items.iter().filter_map(Item::alias).collect();
    let place = |row| Scope { aliases: &aliases, ..Scope::of_row(context, &source.columns, row) };

    let mut rows: Vec<&Row> = Vec::new();
    for row in &source.rows {
        let wanted = select.selection.as_ref().map_or(Ok(Value::Bool(true)), |wanted| evaluate(wanted, &place(row)));
        if wanted?.truth()? == Some(true) {
            rows.push(row);
        }
    }

    let by = group_by(&select.group_by, &items, &source.columns)?;
    let ordered = order.iter().map(|by| &by.expr);
    let mut results = items.iter().filter_map(|item| item.expr).chain(&select.having).chain(ordered);
    let grouped = !by.is_empty() || results.any(has_aggregate);
    if select.having.is_some() && !grouped {
        return Err("HAVING needs GROUP BY or an aggregate; use WHERE".to_owned());
    }

    let output = |scope: &Scope<'_>| -> Result<Option<(Vec<Value>, Row)>, String> {
        if let Some(having) = &select.having
            && evaluate(having, scope)?.truth()? != Some(true)
        {
            return Ok(None);
        }
        let row = items.iter().map(|item| item.value(scope)).collect::<Result<Row, String>>()?;
        let key = |by: &OrderByExpr| match named(&by.expr, &items).and_then(|at| row.get(at)) {
            Some(value) => Ok(value.clone()),
            None => sort_key(&by.expr, &row, scope),
        };
        let keys = order.iter().map(key).collect::<Result<_, _>>()?;
        Ok(Some((keys, row)))
    };
    let nothing: Row = source.columns.iter().map(|_| Value::Null).collect();
    let mut selected = Vec::new();
    if grouped {
        for group in groups(&rows, &by, &place)? {
            let first = group.first().copied().unwrap_or(&nothing);
            let scope = Scope { group: Some(Group { rows: &group, by: &by }), ..place(first) };
            selected.extend(output(&scope)?);
        }
    } else {
        for row in rows {
            selected.extend(output(&place(row))?);
        }
    }
    if matches!(select.distinct, Some(Distinct::Distinct)) {
        selected = distinct(selected, |(_, row)| row);
    }
    Ok((items.iter().map(Item::column).collect(), selected))
}

/// Refuses what would otherwise be overlooked.
fn understood(select: &Select) -> Result<(), String> {
    let refused = [
        (select.top.is_some(), "TOP"),
        (select.into.is_some(), "INTO"),
        (select.exclude.is_some(), "EXCLUDE"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (select.qualify.is_some(), "QUALIFY"),
        (!select.named_window.is_empty(), "WINDOW"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty() || !select.distribute_by.is_empty(), "CLUSTER BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.value_table_mode.is_some(), "AS STRUCT"),
        (matches!(select.distinct, Some(Distinct::On(_))), "DISTINCT ON"),
    ];
    match refused.into_iter().find(|(there, _)| *there) {
        Some((_, clause)) => Err(format!("{clause} is not understood")),
        None => Ok(()),
    }
}

/// One column of the result.
struct Item<'a> {
    name: String,
    named: bool,
    /// Nothing for a column of `*`.
    expr: Option<&'a Expr>,
    at: usize,
}

impl<'a> Item<'a> {
    fn alias(&self) -> Option<(&str, &'a Expr)> {
        self.expr.filter(|_| self.named).map(|expr| (self.name.as_str(), expr))
    }

    fn column(&self) -> Column {
        Column { table: None, name: self.name.as_str().into(), hidden: false }
    }

    fn value(&self, scope: &Scope<'_>) -> Result<Value, String> {
        match self.expr {
            Some(expr) => evaluate(expr, scope),
            None if scope.group.is_some() => {
                Err("* does not go with GROUP BY and aggregates; name the columns".to_owned())
            }
            None => Ok(scope.row.get(self.at).cloned().unwrap_or(Value::Null)),
        }
    }
}

fn items<'a>(projection: &'a [SelectItem], columns: &[Column]) -> Result<Vec<Item<'a>>, String> {
    let mut items = Vec::new();
    for item in projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                items.push(Item { name: name_of(expr), named: false, expr: Some(expr), at: 0 });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                items.push(Item { name: alias.value.clone(), named: true, expr: Some(expr), at: 0 });
            }
            SelectItem::Wildcard(options) => items.extend(all(columns, None, options)?),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), options) => {
                items.extend(all(columns, Some(&table.to_string().replace('"', "")), options)?);
            }
            other => return Err(format!("{other} is not understood in SELECT")),
        }
    }
    if items.is_empty() { Err("there is nothing to SELECT".to_owned()) } else { Ok(items) }
}

fn all<'a>(
    columns: &[Column],
    table: Option<&str>,
    options: &WildcardAdditionalOptions,
) -> Result<Vec<Item<'a>>, String> {
    if *options != WildcardAdditionalOptions::default() {
        return Err("* stands alone; name the columns instead".to_owned());
    }
    let wanted = |column: &Column| match (table, &column.table) {
        (None, _) => !column.hidden,
        (Some(table), Some(own)) => own.to_lowercase() == table.to_lowercase(),
        (Some(_), None) => false,
    };
    let items = columns.iter().enumerate().filter(|(_, column)| wanted(column));
    let items: Vec<_> =
        items.map(|(at, column)| Item { name: column.name.to_string(), named: false, expr: None, at }).collect();
    if items.is_empty() { Err("* needs a table in FROM".to_owned()) } else { Ok(items) }
}

fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map_or(String::new(), |name| name.value.clone()),
        other => other.to_string().chars().take(NAME_CHARS_MAX).collect(),
    }
}

/// The column of the result that a name in ORDER BY means.
fn named(by: &Expr, items: &[Item<'_>]) -> Option<usize> {
    let Expr::Identifier(name) = by else { return None };
    items.iter().position(|item| item.named && item.name.to_lowercase() == name.value.to_lowercase())
}

/// What rows are grouped by; numbers and new names stand for expressions of the SELECT.
fn group_by<'a>(by: &'a GroupByExpr, items: &[Item<'a>], columns: &[Column]) -> Result<Vec<&'a Expr>, String> {
    let GroupByExpr::Expressions(by, modifiers) = by else {
        return Err("GROUP BY ALL is not understood; name the columns".to_owned());
    };
    if !modifiers.is_empty() {
        return Err("GROUP BY WITH … is not understood".to_owned());
    }
    let meant = |expr: &'a Expr| match expr {
        Expr::Value(literal) => {
            let number = literal.to_string().parse::<usize>().ok();
            let item = number.and_then(|number| items.get(number.checked_sub(1)?));
            item.and_then(|item| item.expr).ok_or_else(|| format!("GROUP BY {literal}: there is no such expression"))
        }
        Expr::Identifier(name) if find(columns, None, &name.value)?.is_none() => {
            Ok(named(expr, items).and_then(|at| items.get(at)?.expr).unwrap_or(expr))
        }
        expr => Ok(expr),
    };
    by.iter().map(meant).collect()
}

/// Rows that have the same values, in the order of their first ones; all rows if they are grouped by nothing.
fn groups<'a, 's>(
    rows: &[&'a Row],
    by: &[&Expr],
    place: &dyn Fn(&'a [Value]) -> Scope<'s>,
) -> Result<Vec<Vec<&'a Row>>, String> {
    if by.is_empty() {
        return Ok(vec![rows.to_vec()]);
    }
    let mut places: HashMap<Vec<Key>, usize> = HashMap::new();
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let scope = place(row);
        let keys = by.iter().map(|expr| Ok(evaluate(expr, &scope)?.key())).collect::<Result<Vec<_>, String>>()?;
        let at = *places.entry(keys).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    Ok(groups)
}

/// Whether an aggregate stands in an expression, not counting those of its subqueries.
fn has_aggregate(expr: &Expr) -> bool {
    struct Search {
        depth: usize,
    }
    impl Visitor for Search {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if self.depth == 0 && is_aggregate(function) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Search { depth: 0 }).is_break()
}

const NAME_CHARS_MAX: usize = 60;
