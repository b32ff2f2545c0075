//! The value of an expression at some place.

use std::cmp::Ordering;
use std::rc::Rc;

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query,
    TrimWhereField, UnaryOperator, Value as Literal,
};

use crate::engine::aggregate::{aggregate, is_aggregate};
use crate::engine::functions::{call, like};
use crate::engine::query::query;
use crate::engine::scope::{Context, Relation, Scope};
use crate::value::{Operation, Value};

pub fn evaluate(expr: &Expr, scope: &Scope<'_>) -> Result<Value, String> {
    if let Some(group) = &scope.group
        && group.by.contains(&expr)
    {
        return evaluate(expr, &scope.ungrouped());
    }
    let value = |expr: &Expr| evaluate(expr, scope);
    match expr {
        Expr::Nested(inner) => value(inner),
        Expr::Value(literal) => self::literal(&literal.value),
        Expr::Identifier(name) => column(None, &name.value, scope),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, name] => column(Some(&table.value), &name.value, scope),
            _ => Err(format!("{expr} is no column: write table.column")),
        },
        Expr::UnaryOp { op, expr } => unary(op, &value(expr)?),
        Expr::BinaryOp { left, op, right } => binary(left, op, right, scope),
        Expr::IsNull(inner) => Ok(Value::Bool(value(inner)?.is_null())),
        Expr::IsNotNull(inner) => Ok(Value::Bool(!value(inner)?.is_null())),
        Expr::IsTrue(inner) => Ok(Value::Bool(value(inner)?.truth()? == Some(true))),
        Expr::IsNotTrue(inner) => Ok(Value::Bool(value(inner)?.truth()? != Some(true))),
        Expr::IsFalse(inner) => Ok(Value::Bool(value(inner)?.truth()? == Some(false))),
        Expr::IsNotFalse(inner) => Ok(Value::Bool(value(inner)?.truth()? != Some(false))),
        Expr::IsDistinctFrom(a, b) => Ok(Value::Bool(value(a)?.key() != value(b)?.key())),
        Expr::IsNotDistinctFrom(a, b) => Ok(Value::Bool(value(a)?.key() == value(b)?.key())),
        Expr::Between { expr, negated, low, high } => {
            let own = value(expr)?;
            let above = own.compare(&value(low)?)?.map(Ordering::is_ge);
            let below = own.compare(&value(high)?)?.map(Ordering::is_le);
            Ok(truth(and(above, below), *negated))
        }
        Expr::InList { expr, list, negated } => {
            let list = list.iter().map(value).collect::<Result<Vec<_>, _>>()?;
            within(&value(expr)?, list.iter(), *negated)
        }
        Expr::InSubquery { expr, subquery, negated } => {
            let answer = answer(subquery, scope)?;
            one_column(&answer)?;
            within(&value(expr)?, answer.rows.iter().filter_map(|row| row.first()), *negated)
        }
        Expr::Exists { subquery, negated } => Ok(Value::Bool(answer(subquery, scope)?.rows.is_empty() == *negated)),
        Expr::Subquery(subquery) => {
            let answer = answer(subquery, scope)?;
            one_column(&answer)?;
            match answer.rows.as_slice() {
                [] => Ok(Value::Null),
                [row] => Ok(row.first().cloned().unwrap_or(Value::Null)),
                rows => Err(format!("a SELECT in the place of a value has {} rows; it may have one", rows.len())),
            }
        }
        Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
            Ok(truth(like(&value(expr)?, &value(pattern)?, false)?, *negated))
        }
        Expr::ILike { negated, any: false, expr, pattern, escape_char: None } => {
            Ok(truth(like(&value(expr)?, &value(pattern)?, true)?, *negated))
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            let operand = operand.as_ref().map(|operand| value(operand)).transpose()?;
            for case in conditions {
                let condition = value(&case.condition)?;
                let meets = match &operand {
                    Some(operand) => operand.compare(&condition)?.map(Ordering::is_eq),
                    None => condition.truth()?,
                };
                if meets == Some(true) {
                    return value(&case.result);
                }
            }
            else_result.as_ref().map_or(Ok(Value::Null), |otherwise| value(otherwise))
        }
        Expr::Cast { kind, expr, data_type, format: None } => match (cast(&value(expr)?, data_type), kind) {
            (Err(_), CastKind::TryCast | CastKind::SafeCast) => Ok(Value::Null),
            (result, _) => result,
        },
        Expr::Floor { expr, .. } => call("FLOOR", &[value(expr)?]),
        Expr::Ceil { expr, .. } => call("CEIL", &[value(expr)?]),
        Expr::Position { expr, r#in } => call("INSTR", &[value(r#in)?, value(expr)?]),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let mut arguments = vec![value(expr)?];
            arguments.push(substring_from.as_ref().map_or(Ok(Value::Int(1)), |from| value(from))?);
            arguments.extend(substring_for.as_ref().map(|count| value(count)).transpose()?);
            call("SUBSTR", &arguments)
        }
        Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
            let side = match trim_where {
                None | Some(TrimWhereField::Both) => "TRIM",
                Some(TrimWhereField::Leading) => "LTRIM",
                Some(TrimWhereField::Trailing) => "RTRIM",
            };
            let mut arguments = vec![value(expr)?];
            arguments.extend(trim_what.as_ref().map(|what| value(what)).transpose()?);
            call(side, &arguments)
        }
        Expr::Function(function) => self::function(function, scope),
        other => Err(format!("{other} is not understood; see table://sql")),
    }
}

fn literal(literal: &Literal) -> Result<Value, String> {
    match literal {
        Literal::Null => Ok(Value::Null),
        Literal::Boolean(truth) => Ok(Value::Bool(*truth)),
        Literal::SingleQuotedString(text) => Ok(Value::text(text.as_str())),
        Literal::Number(digits, _) => match digits.parse() {
            Ok(number) => Ok(Value::Int(number)),
            Err(_) => Value::float(digits.parse().map_err(|_| format!("{digits} is no number"))?),
        },
        other => Err(format!("{other} is not understood")),
    }
}

fn column(table: Option<&str>, name: &str, scope: &Scope<'_>) -> Result<Value, String> {
    if let Some(value) = scope.value(table, name)? {
        return Ok(value);
    }
    let alias = scope.aliases.iter().find(|(alias, _)| table.is_none() && alias.to_lowercase() == name.to_lowercase());
    match alias {
        // Without the other names, so that they cannot mean each other for ever.
        Some((_, expr)) => evaluate(expr, &Scope { aliases: &[], ..*scope }),
        None => Err(format!("there is no column {name}; there are {}. Texts stand in single quotes", scope.names())),
    }
}

fn unary(operator: &UnaryOperator, value: &Value) -> Result<Value, String> {
    match operator {
        UnaryOperator::Not => Ok(truth(value.truth()?, true)),
        UnaryOperator::Minus => Value::Int(0).calculate(Operation::Subtract, value),
        UnaryOperator::Plus => Ok(value.clone()),
        other => Err(format!("the operator {other} is not understood")),
    }
}

fn binary(left: &Expr, operator: &BinaryOperator, right: &Expr, scope: &Scope<'_>) -> Result<Value, String> {
    let left = evaluate(left, scope)?;
    if let BinaryOperator::And | BinaryOperator::Or = operator {
        let decides = matches!(operator, BinaryOperator::Or);
        return match left.truth()? {
            Some(truth) if truth == decides => Ok(Value::Bool(truth)),
            left => match (left, evaluate(right, scope)?.truth()?) {
                (_, Some(truth)) if truth == decides => Ok(Value::Bool(truth)),
                (Some(_), Some(truth)) => Ok(Value::Bool(truth)),
                _ => Ok(Value::Null),
            },
        };
    }
    let right = evaluate(right, scope)?;
    let compared = |fits: fn(Ordering) -> bool| Ok(truth(left.compare(&right)?.map(fits), false));
    match operator {
        BinaryOperator::Eq => compared(Ordering::is_eq),
        BinaryOperator::NotEq => compared(Ordering::is_ne),
        BinaryOperator::Lt => compared(Ordering::is_lt),
        BinaryOperator::LtEq => compared(Ordering::is_le),
        BinaryOperator::Gt => compared(Ordering::is_gt),
        BinaryOperator::GtEq => compared(Ordering::is_ge),
        BinaryOperator::Plus => left.calculate(Operation::Add, &right),
        BinaryOperator::Minus => left.calculate(Operation::Subtract, &right),
        BinaryOperator::Multiply => left.calculate(Operation::Multiply, &right),
        BinaryOperator::Divide => left.calculate(Operation::Divide, &right),
        BinaryOperator::Modulo => left.calculate(Operation::Modulo, &right),
        BinaryOperator::StringConcat if left.is_null() || right.is_null() => Ok(Value::Null),
        BinaryOperator::StringConcat => call("CONCAT", &[left, right]),
        other => Err(format!("the operator {other} is not understood")),
    }
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn truth(truth: Option<bool>, negated: bool) -> Value {
    truth.map_or(Value::Null, |truth| Value::Bool(truth != negated))
}

fn within<'a>(own: &Value, mut list: impl Iterator<Item = &'a Value>, negated: bool) -> Result<Value, String> {
    let found = list.try_fold(Some(false), |found, other| match own.compare(other)? {
        Some(Ordering::Equal) => Ok(Some(true)),
        None if found != Some(true) => Ok::<_, String>(None),
        _ => Ok(found),
    });
    Ok(truth(found?, negated))
}

fn one_column(answer: &Relation) -> Result<(), String> {
    match answer.columns.len() {
        1 => Ok(()),
        many => Err(format!("a SELECT in the place of values has {many} columns; it may have one")),
    }
}

/// The rows of a subquery. Those that are the same for every row are found only once.
fn answer(subquery: &Query, scope: &Scope<'_>) -> Result<Rc<Relation>, String> {
    let state = scope.context.state;
    let place = std::ptr::from_ref(subquery).addr();
    if let Some(known) = state.answers.borrow().get(&place) {
        return Ok(known.clone());
    }
    let before = state.outermost.replace(usize::MAX);
    let row = scope.ungrouped();
    let answer =
        query(subquery, Context { outer: Some(if scope.group.is_some() { scope } else { &row }), ..scope.context })?;
    let reached = state.outermost.get();
    state.outermost.set(before.min(reached));
    if reached > scope.depth() && scope.context.tables.fixed {
        state.answers.borrow_mut().insert(place, answer.clone());
    }
    Ok(answer)
}

fn function(function: &Function, scope: &Scope<'_>) -> Result<Value, String> {
    let name = function.name.to_string().to_uppercase();
    if function.over.is_some() {
        return Err(format!("{name} … OVER: window functions are not understood; use GROUP BY or a subquery"));
    }
    if is_aggregate(function) {
        let Some(group) = &scope.group else {
            return Err(format!("{name} cannot stand here; in WHERE use a subquery, after GROUP BY use HAVING"));
        };
        return aggregate(function, group, scope);
    }
    let list = match &function.args {
        FunctionArguments::List(list) if list.clauses.is_empty() && list.duplicate_treatment.is_none() => &*list.args,
        FunctionArguments::None => &[],
        _ => return Err(format!("{name} cannot be used with these arguments")),
    };
    let arguments = list.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => evaluate(expr, scope),
        _ => Err(format!("{name} cannot be used with these arguments")),
    });
    call(&name, &arguments.collect::<Result<Vec<_>, _>>()?)
}

fn cast(value: &Value, to: &DataType) -> Result<Value, String> {
    let failed = || format!("cannot CAST {} to {to}", value.shown());
    let kind = to.to_string().to_uppercase();
    match (kind.split(['(', ' ']).next().unwrap_or_default(), value) {
        (_, Value::Null) => Ok(Value::Null),
        ("TEXT" | "VARCHAR" | "CHAR" | "STRING", value) => Ok(Value::text(value.to_string())),
        ("INT" | "INTEGER" | "BIGINT" | "SMALLINT", value) => match value {
            Value::Bool(truth) => Ok(Value::Int(i64::from(*truth))),
            Value::Text(text) => text.trim().parse().map(Value::Int).map_err(|_| failed()),
            Value::Float(number) => Value::Float(number.trunc()).int().map(Value::Int),
            value => Ok(value.clone()),
        },
        ("FLOAT" | "DOUBLE" | "REAL" | "DECIMAL" | "NUMERIC", value) => match value {
            Value::Text(text) => Value::float(text.trim().parse().map_err(|_| failed())?),
            value => Value::float(value.number()?),
        },
        ("BOOL" | "BOOLEAN", Value::Bool(_)) => Ok(value.clone()),
        ("BOOL" | "BOOLEAN", value) => {
            value.to_string().trim().to_lowercase().parse().map(Value::Bool).map_err(|_| failed())
        }
        _ => Err(format!("CAST to {to} is not understood; there are INTEGER, FLOAT, BOOLEAN, TEXT")),
    }
}
