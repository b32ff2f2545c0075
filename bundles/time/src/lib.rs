//! Dates, times of day and time zones, on the jiff library with the IANA database inside.

mod moment;
mod tzdb;

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::{Deserialize, Serialize};
use certosa_sdk::{Completing, Json, resource, tool};
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use jiff::fmt::strtime;
use jiff::{Span, Timestamp, Unit, Zoned};

use crate::moment::{Ambiguous, Moment, bounded, clock_change};

/// Tells the current date and time in a time zone, with offset, weekday, ISO week and day of the year.
#[tool(title = "Current time", read_only, idempotent)]
fn now(
    /// An IANA time zone such as `Europe/Rome`, or an offset such as `+02:00`. Default: UTC.
    zone: Option<String>,
) -> Result<Json<Moment>, String> {
    let zone = tzdb::find(zone.as_deref().unwrap_or("UTC"))?;
    Ok(Json(Moment::new(&moment::now(zone), None)))
}

/// Reads a date or time and tells all about it: offset, daylight saving, weekday, ISO week, day of the year, Unix time.
/// Given `to`, it tells the same instant in other time zones.
///
/// Use it to convert between zones and to find weekdays. A local time that a clock change makes ambiguous or skips is
/// an error that names the choices, unless `ambiguous` decides.
#[tool(title = "Describe or convert a time", read_only, idempotent)]
fn convert(
    /// `2024-10-27T02:30`, `2024-10-27T02:30+01:00`, `2024-10-27`, `2024-10-27T02:30[Europe/Rome]`,
    /// `Sun, 27 Oct 2024 02:30:00 +0100`, `@1729989000` (Unix seconds) or `now`.
    time: String,
    /// The zone of `time`, if it does not say one itself. Default: UTC.
    zone: Option<String>,
    /// The zones to convert to, at most 30. Default: none, the time stays in its own zone.
    to: Option<Vec<String>>,
    /// What to do with a local time that happens twice or never. Default: reject.
    ambiguous: Option<Ambiguous>,
) -> Result<Json<Moments>, String> {
    let start = moment::read(&time, zone.as_deref(), ambiguous)?;
    let to = to.unwrap_or_default();
    if to.len() > ZONES_MAX {
        return Err(format!("{} zones are too many: at most {ZONES_MAX}", to.len()));
    }
    let mut times = Vec::from_iter(to.is_empty().then(|| Moment::new(&start, None)));
    for name in &to {
        times.push(Moment::new(&start.with_time_zone(tzdb::find(name)?), None));
    }
    Ok(Json(Moments { times }))
}

/// The same instant in one zone or more.
#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
struct Moments {
    /// In the order of `to`.
    times: Vec<Moment>,
}

/// Adds a duration to a time, or subtracts it if it is negative, by the calendar of the time's zone.
///
/// A day is a calendar day, even if it has 23 hours; `24 hours` are 24 hours. A month from 31 January ends on the last
/// day of February. If a clock change moved the result, `note` says so.
#[tool(title = "Add a duration", read_only, idempotent)]
fn add(
    /// As in `convert`: `2024-01-31`, `2024-03-30T02:30[Europe/Rome]`, `now`.
    time: String,
    /// `1 month`, `-2 weeks`, `1 year 3 days 4h 30m`, `90 min ago`, or ISO 8601: `P1M`, `-PT36H`.
    duration: String,
    /// The zone of `time`, if it does not say one itself. Default: UTC.
    zone: Option<String>,
    /// What to do if `time` is a local time that happens twice or never. Default: reject.
    ambiguous: Option<Ambiguous>,
) -> Result<Json<Moment>, String> {
    let start = moment::read(&time, zone.as_deref(), ambiguous)?;
    let span: Span = bounded(&duration)?.parse().map_err(|error| format!("`duration` is not a duration: {error}"))?;
    let end = start.checked_add(span).map_err(|error| format!("cannot add that: {error}"))?;
    let days = Span::new()
        .try_years(span.get_years())
        .and_then(|days| days.try_months(span.get_months()))
        .and_then(|days| days.try_weeks(span.get_weeks()))
        .and_then(|days| days.try_days(span.get_days()))
        .map_err(|error| error.to_string())?;
    let landing = start.datetime().checked_add(days).map_err(|error| format!("cannot add that: {error}"))?;
    let note = if days.is_zero() { None } else { clock_change(landing, start.time_zone()) };
    Ok(Json(Moment::new(&end, note)))
}

/// Tells how long it is from one time to another, in calendar units and in all.
///
/// Use it for ages, deadlines and working out durations across time zones and clock changes.
#[tool(title = "Difference of two times", read_only, idempotent)]
fn difference(
    /// As in `convert`: `2024-01-31`, `2024-03-30T02:30+01:00`, `now`.
    from: String,
    /// The other time; if it is before `from`, the difference is negative. Calendar units follow the zone of `from`.
    to: String,
    /// The zone of the times that do not say one themselves. Default: UTC.
    zone: Option<String>,
    /// The largest unit of `span`. Default: years.
    largest: Option<Largest>,
    /// What to do with a local time that happens twice or never. Default: reject.
    ambiguous: Option<Ambiguous>,
) -> Result<Json<Difference>, String> {
    let from = moment::read(&from, zone.as_deref(), ambiguous)?;
    let to = moment::read(&to, zone.as_deref(), ambiguous)?.with_time_zone(from.time_zone().clone());
    let unit = largest.unwrap_or(Largest::Years).unit();
    let span = from.until((unit, &to)).map_err(|error| error.to_string())?;
    let printer = SpanPrinter::new().designator(Designator::Verbose).spacing(Spacing::BetweenUnitsAndDesignators);
    let seconds = from.duration_until(&to).as_secs_f64();
    let (iso, text) = (span.to_string(), printer.span_to_string(&span));
    Ok(Json(Difference { text, iso, hours: seconds / 3600.0, seconds }))
}

#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
struct Difference {
    /// In calendar units: `1 year 2 months 3 days`.
    text: String,
    /// The same in ISO 8601: `P1Y2M3D`.
    iso: String,
    /// All of it in hours that really pass.
    hours: f64,
    /// All of it in seconds that really pass.
    seconds: f64,
}

#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(crate = "certosa_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "certosa_sdk::schemars")]
enum Largest {
    Years,
    Months,
    Weeks,
    Days,
    Hours,
    Minutes,
    Seconds,
}

impl Largest {
    fn unit(self) -> Unit {
        match self {
            Self::Years => Unit::Year,
            Self::Months => Unit::Month,
            Self::Weeks => Unit::Week,
            Self::Days => Unit::Day,
            Self::Hours => Unit::Hour,
            Self::Minutes => Unit::Minute,
            Self::Seconds => Unit::Second,
        }
    }
}

/// Writes a date or time in another form, and reads forms that the other tools do not understand.
///
/// Patterns are those of strftime: `%Y-%m-%d %H:%M`, `%A, %-d %B %Y`, `%d/%m/%y`, `%I:%M %p`, `%j` (day of year),
/// `%G-W%V-%u` (ISO week), `%z` (+0200), `%:z` (+02:00), `%Z` (CEST), `%Q` (IANA zone), `%s` (Unix time). English only.
#[tool(title = "Reformat a time", read_only, idempotent)]
fn format(
    /// The time to read.
    time: String,
    /// The pattern to write it with.
    pattern: String,
    /// The pattern to read `time` with. Default: the forms of `convert`.
    input_pattern: Option<String>,
    /// The zone of `time`, if it does not say one itself. Default: UTC.
    zone: Option<String>,
    /// What to do with a local time that happens twice or never. Default: reject.
    ambiguous: Option<Ambiguous>,
) -> Result<String, String> {
    let time: Zoned = match input_pattern {
        Some(input) => moment::read_pattern(&time, &input, zone.as_deref(), ambiguous)?,
        None => moment::read(&time, zone.as_deref(), ambiguous)?,
    };
    strtime::format(bounded(&pattern)?, &time).map_err(|error| format!("`pattern` cannot be used: {error}"))
}

/// The names of all time zones (IANA), one per line.
#[resource(uri = "time://zones", title = "Time zones", mime_type = "text/plain")]
fn zones() -> String {
    tzdb::names().join("\n")
}

/// A time zone: its offset now, and its last and next clock changes.
#[resource(uri = "time://zones/{+zone}", title = "Time zone", mime_type = "text/markdown", complete = candidates)]
fn zone(
    /// The IANA name, such as `Europe/Rome`.
    zone: String,
) -> Option<String> {
    tzdb::find(&zone).ok().map(|found| tzdb::explain(&found, Timestamp::now()))
}

fn candidates(_: &Completing) -> Vec<String> {
    tzdb::names()
}

const ZONES_MAX: usize = 30;

certosa_sdk::bundle!(
    tools: [now, convert, add, difference, format],
    prompts: [],
    resources: [zones, zone],
);
