//! Reading times without guessing, and telling all about them.

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::{Deserialize, Serialize};
use jiff::civil::{DateTime, Time};
use jiff::fmt::rfc2822;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::{Pieces, PiecesOffset};
use jiff::tz::{AmbiguousOffset, Disambiguation, OffsetConflict, TimeZone};
use jiff::{Timestamp, Zoned};

use crate::tzdb;

/// A time and what a calendar says of it.
#[derive(Serialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Moment {
    /// RFC 9557: `2024-10-27T02:30:00+01:00[Europe/Rome]`.
    time: String,
    /// `CET`, or the offset where there is no such name.
    abbreviation: String,
    /// Whether daylight saving time is in force.
    daylight_saving: bool,
    /// `Sunday`.
    weekday: String,
    /// `2024-W43`.
    iso_week: String,
    /// From 1 to 366.
    day_of_year: i16,
    /// Whole seconds since 1970-01-01T00:00:00Z.
    unix_seconds: i64,
    /// What a clock change does to this time, if it does anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Which instant is meant by a local time that happens twice or never.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(crate = "certosa_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "certosa_sdk::schemars")]
pub enum Ambiguous {
    /// An error that names the choices.
    Reject,
    /// The first of the two; before the gap.
    Earlier,
    /// The second of the two; after the gap.
    Later,
}

impl Moment {
    pub fn new(time: &Zoned, note: Option<String>) -> Self {
        let (info, week) = (time.time_zone().to_offset_info(time.timestamp()), time.date().iso_week_date());
        Self {
            time: time.to_string(),
            abbreviation: info.abbreviation().to_owned(),
            daylight_saving: info.dst().is_dst(),
            weekday: time.strftime("%A").to_string(),
            iso_week: format!("{}-W{:02}", week.year(), week.week()),
            day_of_year: time.day_of_year(),
            unix_seconds: time.timestamp().as_second(),
            note: note.or_else(|| clock_change(time.datetime(), time.time_zone())),
        }
    }
}

/// Reads a time in any of the forms that `convert` lists. `zone` counts where the text says none.
pub fn read(text: &str, zone: Option<&str>, ambiguous: Option<Ambiguous>) -> Result<Zoned, String> {
    let text = bounded(text)?.trim();
    let zone = tzdb::find(zone.unwrap_or("UTC"))?;
    if text == "now" {
        return Ok(now(zone));
    }
    if let Some(seconds) = text.strip_prefix('@') {
        let seconds: i64 = seconds.parse().map_err(|_| format!("`{text}` is not @ and whole seconds"))?;
        let instant = Timestamp::from_second(seconds).map_err(|error| error.to_string())?;
        return Ok(instant.to_zoned(zone));
    }
    if let Ok(time) = rfc2822::parse(text) {
        return Ok(time);
    }
    let pieces = Pieces::parse(text).map_err(|error| format!("`{text}` is not a time that can be read: {error}"))?;
    let local = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    let said = pieces.to_time_zone().map_err(|error| format!("`{text}` has an unknown zone: {error}"))?;
    match (said, pieces.offset()) {
        (said, None) => settle(local, said.unwrap_or(zone), ambiguous),
        (None, Some(PiecesOffset::Zulu)) => settle(local, TimeZone::UTC, ambiguous),
        (None, Some(offset)) => settle(local, offset.to_numeric_offset().to_time_zone(), ambiguous),
        (Some(zone), Some(PiecesOffset::Zulu)) => Ok(settle(local, TimeZone::UTC, ambiguous)?.with_time_zone(zone)),
        (Some(zone), Some(offset)) => OffsetConflict::Reject
            .resolve(local, offset.to_numeric_offset(), zone)
            .and_then(|resolved| resolved.unambiguous())
            .map_err(|error| error.to_string()),
    }
}

/// The current second.
pub fn now(zone: TimeZone) -> Zoned {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_zoned(zone)
}

/// Reads a time by a strptime pattern.
pub fn read_pattern(
    text: &str,
    pattern: &str,
    zone: Option<&str>,
    ambiguous: Option<Ambiguous>,
) -> Result<Zoned, String> {
    let parsed = BrokenDownTime::parse(bounded(pattern)?, bounded(text)?)
        .map_err(|error| format!("`time` does not fit `input_pattern`: {error}"))?;
    let named = parsed.iana_time_zone();
    if let (Some(_), Some(_)) = (named, parsed.offset()) {
        return parsed.to_zoned().map_err(|error| error.to_string());
    }
    let zone = tzdb::find(named.or(zone).unwrap_or("UTC"))?;
    if let Ok(instant) = parsed.to_timestamp() {
        return Ok(instant.to_zoned(zone));
    }
    let date = parsed.to_date().map_err(|error| format!("`input_pattern` does not yield a whole date: {error}"))?;
    let time = parsed.to_time().unwrap_or(Time::midnight());
    settle(date.to_datetime(time), zone, ambiguous)
}

/// What a clock change does to a local time, if it does anything.
pub fn clock_change(local: DateTime, zone: &TimeZone) -> Option<String> {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Fold { before, after } => {
            Some(format!("the local time {local} happens twice, first at {before} and then at {after}"))
        }
        AmbiguousOffset::Gap { before, after } => {
            Some(format!("there is no local time {local}: the clock skips it, going from {before} to {after}"))
        }
    }
}

fn settle(local: DateTime, zone: TimeZone, ambiguous: Option<Ambiguous>) -> Result<Zoned, String> {
    let wanted = match ambiguous {
        None | Some(Ambiguous::Reject) => Disambiguation::Reject,
        Some(Ambiguous::Earlier) => Disambiguation::Earlier,
        Some(Ambiguous::Later) => Disambiguation::Later,
    };
    let change = clock_change(local, &zone);
    zone.into_ambiguous_zoned(local).disambiguate(wanted).map_err(|error| match change {
        Some(change) => format!("{change}; write the offset into the time, or set `ambiguous` to `earlier` or `later`"),
        None => error.to_string(),
    })
}

/// Refuses what is too long to be a time, a duration or a pattern.
pub fn bounded(text: &str) -> Result<&str, String> {
    match text.len() {
        0 => Err("a time, a zone, a duration or a pattern is empty".to_owned()),
        1..=TEXT_BYTES_MAX => Ok(text),
        length => Err(format!("{length} bytes are too long for this: at most {TEXT_BYTES_MAX}")),
    }
}

const TEXT_BYTES_MAX: usize = 500;
