//! Functions over all rows of a group.

use std::collections::HashSet;

use sqlparser::ast::{DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};

use crate::engine::expression::evaluate;
use crate::engine::scope::{Group, Scope};
use crate::value::{Operation, Value};

pub fn is_aggregate(function: &Function) -> bool {
    NAMES.contains(&function.name.to_string().to_uppercase().as_str())
}

pub fn aggregate(function: &Function, group: &Group<'_>, scope: &Scope<'_>) -> Result<Value, String> {
    let name = function.name.to_string().to_uppercase();
    let FunctionArguments::List(list) = &function.args else {
        return Err(format!("{name} needs something in brackets"));
    };
    if !list.clauses.is_empty() || !function.within_group.is_empty() {
        return Err(format!("ORDER BY and the like are not understood in {name}"));
    }
    let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
    let (over, separator) = match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "COUNT" && !distinct => (None, None),
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(over))] => (Some(over), None),
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(over)), FunctionArg::Unnamed(FunctionArgExpr::Expr(separator))]
            if matches!(&*name, "GROUP_CONCAT" | "STRING_AGG") =>
        {
            (Some(over), Some(evaluate(separator, &scope.ungrouped())?.to_string()))
        }
        _ => return Err(format!("{name} cannot be used with these arguments")),
    };
    let mut values = Vec::new();
    for row in group.rows {
        let scope = Scope { row, ..scope.ungrouped() };
        let wanted = function.filter.as_ref().map_or(Ok(Value::Bool(true)), |filter| evaluate(filter, &scope))?;
        if wanted.truth()? == Some(true) {
            values.push(over.map_or(Ok(Value::Bool(true)), |over: &Expr| evaluate(over, &scope))?);
        }
    }
    values.retain(|value| !value.is_null());
    if distinct {
        let mut seen = HashSet::new();
        values.retain(|value| seen.insert(value.key()));
    }
    match &*name {
        "COUNT" => i64::try_from(values.len()).map(Value::Int).map_err(|error| error.to_string()),
        _ if values.is_empty() => Ok(Value::Null),
        "SUM" => sum(&values),
        "AVG" => mean(&values).and_then(Value::float),
        "MIN" => Ok(values.into_iter().min_by(Value::order).unwrap_or(Value::Null)),
        "MAX" => Ok(values.into_iter().max_by(Value::order).unwrap_or(Value::Null)),
        "MEDIAN" => median(&values),
        "VARIANCE" => Ok(variance(&values)?.map_or(Ok(Value::Null), Value::float)?),
        "STDDEV" | "STDEV" => Ok(variance(&values)?.map(f64::sqrt).map_or(Ok(Value::Null), Value::float)?),
        _ => {
            let texts: Vec<_> = values.iter().map(Value::to_string).collect();
            Ok(Value::text(texts.join(separator.as_deref().unwrap_or(","))))
        }
    }
}

fn sum(values: &[Value]) -> Result<Value, String> {
    values.iter().try_fold(Value::Int(0), |sum, value| sum.calculate(Operation::Add, value))
}

fn mean(values: &[Value]) -> Result<f64, String> {
    Ok(numbers(values)?.iter().sum::<f64>() / values.len() as f64)
}

fn median(values: &[Value]) -> Result<Value, String> {
    let mut numbers = numbers(values)?;
    numbers.sort_by(f64::total_cmp);
    let middle = |at: usize| numbers.get(at).copied().unwrap_or_default();
    Value::float(f64::midpoint(middle((numbers.len() - 1) / 2), middle(numbers.len() / 2)))
}

/// Of a sample; nothing for fewer than two values.
fn variance(values: &[Value]) -> Result<Option<f64>, String> {
    let mean = mean(values)?;
    let squares: f64 = numbers(values)?.iter().map(|number| (number - mean).powi(2)).sum();
    Ok((values.len() > 1).then(|| squares / (values.len() - 1) as f64))
}

fn numbers(values: &[Value]) -> Result<Vec<f64>, String> {
    values.iter().map(Value::number).collect()
}

const NAMES: [&str; 11] =
    ["COUNT", "SUM", "AVG", "MIN", "MAX", "MEDIAN", "VARIANCE", "STDDEV", "STDEV", "GROUP_CONCAT", "STRING_AGG"];
