//! fend with its bounds: length, time, depth, size of the result.

use std::error::Error;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fend_core::{
    Context, ExchangeRateFnV2, ExchangeRateFnV2Options, Interrupt, evaluate_with_interrupt, get_completions_for_prefix,
};

/// The value of an expression as text.
pub fn compute(expression: &str) -> Result<String, String> {
    if expression.trim().is_empty() {
        return Err("there is nothing to calculate: the expression is empty".to_owned());
    }
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(format!("the expression is longer than {EXPRESSION_BYTES_MAX} bytes; split it up"));
    }
    if nesting(expression) > NESTING_MAX {
        return Err(format!(
            "the expression is nested deeper than {NESTING_MAX}; use variables: `a = …; b = …; a + b`"
        ));
    }
    let mut context = Context::new();
    context.set_exchange_rate_handler_v2(NoCurrencies);
    context.set_random_u32_fn(random);
    let bounds = Bounds::new();
    let result = evaluate_with_interrupt(expression, &mut context, &bounds);
    let result = result.map_err(|error| bounds.explain(&error))?;
    let text = result.get_main_result();
    match text.len() {
        0 => Err("the expression has no value; the last statement should be one".to_owned()),
        RESULT_BYTES_MAX.. => {
            Err(format!("the result has {} characters; ask for less, for example with `to 10 sf`", text.len()))
        }
        _ if text.starts_with("approx.") && digits(text) > DIGITS_CERTAIN => Ok(format!("{text}\n{DIGITS_NOTE}")),
        _ => Ok(text.to_owned()),
    }
}

/// How deep fend's parser, which has no bounds of its own, will call itself for brackets and lambdas.
fn nesting(expression: &str) -> usize {
    let deeper = |(depth, deepest): (usize, usize), letter| match letter {
        '(' | '\\' | ':' => (depth + 1, deepest.max(depth + 1)),
        ')' => (depth.saturating_sub(1), deepest),
        _ => (depth, deepest),
    };
    expression.chars().fold((0, 0), deeper).1
}

fn digits(text: &str) -> usize {
    text.chars().filter(char::is_ascii_digit).skip_while(|digit| *digit == '0').count()
}

/// Stops a calculation that takes too long or goes too deep.
struct Bounds {
    asked: AtomicU32,
    deep: AtomicBool,
    began: Instant,
    stack_top: usize,
}

impl Bounds {
    fn new() -> Self {
        Self {
            asked: AtomicU32::new(0),
            deep: AtomicBool::new(false),
            began: Instant::now(),
            stack_top: stack_address(),
        }
    }

    fn explain(&self, error: &str) -> String {
        match error {
            "interrupted" if self.deep.load(Ordering::Relaxed) => {
                "the expression is nested or recurses too deep".to_owned()
            }
            "interrupted" => format!("stopped after {} s; use smaller numbers or fewer digits", TIME_MAX.as_secs_f32()),
            error => error.to_owned(),
        }
    }

    fn too_deep(&self) -> bool {
        let deep = self.stack_top.saturating_sub(stack_address()) > STACK_BYTES_MAX;
        self.deep.fetch_or(deep, Ordering::Relaxed) || deep
    }
}

impl Interrupt for Bounds {
    fn should_interrupt(&self) -> bool {
        let often = self.asked.fetch_add(1, Ordering::Relaxed);
        self.too_deep() || (often.is_multiple_of(CLOCK_EVERY) && self.began.elapsed() > TIME_MAX)
    }
}

struct NoCurrencies;

impl ExchangeRateFnV2 for NoCurrencies {
    fn relative_to_base_currency(
        &self,
        _: &str,
        _: &ExchangeRateFnV2Options,
    ) -> Result<f64, Box<dyn Error + Send + Sync + 'static>> {
        Err("exchange rates are not known here; give the rate yourself and calculate with plain numbers".into())
    }
}

/// Every name that begins with a Latin letter; fend has no list of all.
pub fn unit_names() -> Vec<String> {
    let letters = ('a'..='z').chain('A'..='Z').map(String::from);
    let names = letters.flat_map(|letter| get_completions_for_prefix(&letter).1);
    names.map(|name| name.display().to_owned()).filter(|name| name != "BASE_CURRENCY").collect()
}

fn random() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Where the stack has come to: it grows downwards.
fn stack_address() -> usize {
    let here = 0u8;
    (&raw const *black_box(&here)).addr()
}

const DIGITS_CERTAIN: usize = 16;
const DIGITS_NOTE: &str =
    "(of irrational numbers, such as roots, logarithms and sines, only about the first 15 digits are right)";
/// With every level the parser may take twice as long.
const NESTING_MAX: usize = 14;
const EXPRESSION_BYTES_MAX: usize = 2_000;
const RESULT_BYTES_MAX: usize = 20_000;
const STACK_BYTES_MAX: usize = 200 << 10;
const TIME_MAX: Duration = Duration::from_millis(1_200);
const CLOCK_EVERY: u32 = 64;
