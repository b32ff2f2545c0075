use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{TimeZone, TimeZoneTransition, db};

use crate::moment::bounded;

/// The zone of this name or offset; the error proposes names.
pub fn find(name: &str) -> Result<TimeZone, String> {
    let name = bounded(name)?.trim();
    DateTimeParser::new().parse_time_zone(name).map_err(|_| unknown(name))
}

fn unknown(name: &str) -> String {
    let wanted = name.to_lowercase().replace(' ', "_");
    let city = wanted.rsplit('/').next().unwrap_or_default();
    let fits = |zone: &String| !city.is_empty() && zone.to_lowercase().contains(city);
    let near: Vec<_> = names().into_iter().filter(fits).take(NEAR_MAX).collect();
    match near.is_empty() {
        true => {
            format!("there is no time zone `{name}`: use an IANA name such as `Europe/Rome`, or an offset (+02:00)")
        }
        false => format!("there is no time zone `{name}`: did you mean {}?", near.join(", ")),
    }
}

/// All IANA names, sorted.
pub fn names() -> Vec<String> {
    db().available().map(|name| name.to_string()).collect()
}

/// A zone in Markdown: now, last and next changes.
pub fn explain(zone: &TimeZone, now: Timestamp) -> String {
    let info = zone.to_offset_info(now);
    let name = zone.iana_name().map_or_else(|| info.offset().to_string(), str::to_owned);
    let saving = if info.dst().is_dst() { "daylight saving" } else { "standard" };
    let (offset, abbreviation) = (info.offset(), info.abbreviation());
    let mut text = format!("# {name}\n\nNow {offset} ({abbreviation}, {saving} time).\n");
    let before: Vec<_> = zone.preceding(now).take(BEFORE_MAX).collect();
    let after: Vec<_> = zone.following(now).take(AFTER_MAX).collect();
    if before.is_empty() && after.is_empty() {
        text.push_str("\nIts clock has never been changed.\n");
        return text;
    }
    text.push_str("\n| Clock change (UTC) | New offset | Name | Daylight saving |\n|---|---|---|---|\n");
    before.iter().rev().chain(&after).for_each(|change| row(&mut text, change));
    if after.is_empty() {
        text.push_str("\nNo further changes are known.\n");
    }
    text
}

fn row(text: &mut String, change: &TimeZoneTransition<'_>) {
    let saving = if change.dst().is_dst() { "yes" } else { "no" };
    let (time, offset, name) = (change.timestamp(), change.offset(), change.abbreviation());
    writeln!(text, "| {time} | {offset} | {name} | {saving} |").unwrap_or_default();
}

const NEAR_MAX: usize = 8;
const BEFORE_MAX: usize = 2;
const AFTER_MAX: usize = 6;
