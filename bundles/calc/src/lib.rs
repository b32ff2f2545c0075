//! A calculator in a cell: exact numbers and units, on the fend library as it is.

mod engine;

use std::fmt::Write as _;

use certosa_sdk::{resource, tool};

use crate::engine::{compute, unit_names};

/// Evaluates an expression with exact rational numbers, complex numbers and units, and returns its value as text.
///
/// Use it for every calculation whose digits matter. Fractions and whole numbers are exact at any length; a result
/// that had to be rounded begins with `approx.`, and of irrational numbers (roots, logarithms, sines) about 15 digits
/// are right. Formats: `… to fraction`, `to exact`, `to 30 dp` (decimal places), `to 10 sf` (significant figures).
/// Examples: `1/3 + 1/6 to fraction`, `2^200`, `25!`, `20% of 45`, `5 feet 10 inches to cm`,
/// `(100 km) / (50 minutes) to km/h`, `0xff xor 0b1010`, `r = 3 cm; pi * r^2`, `50 choose 6`, `roll 2d6`.
/// Put quantities that divide or multiply into brackets. Not in it: currencies, today's date, variables from earlier
/// calls. A calculation is stopped after 1.2 s. The resource calc://syntax has the rest.
#[tool(title = "Calculate", read_only, idempotent)]
fn evaluate(
    /// The expression, at most 2,000 bytes. `;` separates several statements; the last of them gives the result.
    expression: String,
) -> Result<String, String> {
    compute(&expression)
}

/// Converts a quantity to another unit and returns the quantity in that unit, exactly where that is possible.
///
/// Compound units and sums work: `65 mph` to `m/s`, `6 feet 2 inches` to `cm`, `1.5 kWh` to `MJ`, `98.6 °F` to `°C`,
/// `3 MiB` to `bits`, `90 degrees` to `radians`. If the dimensions differ, the error says how.
#[tool(title = "Convert units", read_only, idempotent)]
fn convert(
    /// The quantity: a number or an expression with its unit, such as `12 oz`, `6 feet 2 inches` or `3 * 40 km/h`.
    quantity: String,
    /// The unit wanted, such as `kg`, `m/s^2` or `litres`.
    to: String,
    /// How many decimal places to round to, from 0 to 1000. Default: exact if it is short, else 10 digits or so.
    decimal_places: Option<u16>,
) -> Result<String, String> {
    if to.trim().is_empty() {
        return Err("`to` is empty: say which unit you want".to_owned());
    }
    let mut expression = format!("({quantity}) to ({to})");
    match decimal_places {
        Some(places @ 0..=1000) => write!(expression, " to {places} dp").unwrap_or_default(),
        Some(places) => return Err(format!("{places} decimal places are too many: at most 1000")),
        None => {}
    }
    compute(&expression)
}

/// Writes a number in binary, octal, decimal and hexadecimal, and in any other base from 2 to 36.
///
/// Returns one line per base, such as `hexadecimal: ff`, without prefixes. Whole numbers can have thousands of digits.
#[tool(title = "Convert bases", read_only, idempotent)]
fn bases(
    /// The number or an expression for it: `255`, `0xff`, `0b1101`, `0o17`, `36#zz` (base 36), `2^64 - 1`.
    number: String,
    /// One more base to write it in, from 2 to 36.
    base: Option<u8>,
) -> Result<String, String> {
    let mut wanted = vec![
        ("binary".to_owned(), "binary".to_owned()),
        ("octal".to_owned(), "octal".to_owned()),
        ("decimal".to_owned(), "decimal".to_owned()),
        ("hexadecimal".to_owned(), "hex".to_owned()),
    ];
    match base {
        Some(base @ 2..=36) => wanted.push((format!("base {base}"), format!("base {base}"))),
        Some(base) => return Err(format!("there is no base {base} here: 2 to 36")),
        None => {}
    }
    let lines = wanted.iter().map(|(name, word)| Ok(format!("{name}: {}", compute(&format!("({number}) to {word}"))?)));
    Ok(lines.collect::<Result<Vec<_>, String>>()?.join("\n"))
}

/// What expressions can say: operators, functions, constants, formats, with examples. Read it before writing
/// anything unusual for `evaluate` or `convert`.
#[resource(uri = "calc://syntax", title = "Calculator syntax", mime_type = "text/markdown")]
fn syntax() -> &'static str {
    include_str!("syntax.md")
}

/// The names of all units, constants and prefixes that expressions can use, one per line. Look here when a unit is
/// said to be unknown.
#[resource(uri = "calc://units", title = "Names of units", mime_type = "text/plain")]
fn units() -> String {
    unit_names().join("\n")
}

certosa_sdk::bundle!(tools: [evaluate, convert, bases], prompts: [], resources: [syntax, units]);
