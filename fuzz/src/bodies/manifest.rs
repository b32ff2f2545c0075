//! A manifest after it was compiled. The first byte says what the others are:
//!
//! - 0: a text, a zero, and what the compiler made of it (a `CodeGeneratorRequest`)
//! - 1: a text, a zero, and what the cache kept
//! - any other: a text alone, in which files and places are looked for

use certosa_manifest::{Path, Place, Problems, fuzzing};

pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind {
        0 => {
            let Some((text, request)) = parts(rest) else { return };
            match fuzzing::of_request(text, request) {
                Ok((plan, cached)) => {
                    let again = fuzzing::of_cache(text, &cached).expect("what was written").expect("the same plan");
                    assert_eq!(format!("{again:?}"), format!("{plan:?}"));
                }
                Err(problems) => shown(&problems),
            }
        }
        1 => {
            let Some((text, cached)) = parts(rest) else { return };
            if let Some(Err(problems)) = fuzzing::of_cache(text, cached) {
                shown(&problems);
            }
        }
        _ => {
            let Ok(text) = str::from_utf8(rest) else { return };
            if let Err(problems) = fuzzing::files(text) {
                shown(&problems);
            }
            let root = Path::default();
            let bundle = root.field("bundles").index(1);
            let paths = [
                root.field("listen"),
                bundle.field("limits").field("cpuMsMax"),
                bundle,
                root.field("routes").index(0).field("tools").index(2),
                root,
            ];
            paths.iter().filter_map(|path| fuzzing::place(text, "house", path)).for_each(|place| lies_in(&place, text));
        }
    }
}

fn parts(data: &[u8]) -> Option<(&str, &[u8])> {
    let zero = data.iter().position(|byte| *byte == 0)?;
    let (text, rest) = data.split_at(zero);
    Some((str::from_utf8(text).ok()?, &rest[1..]))
}

fn shown(problems: &Problems) {
    assert!(!problems.to_string().is_empty());
    for place in problems.iter().filter_map(|problem| problem.place.as_ref()) {
        assert!(place.indent <= place.text.chars().count(), "{place:?}");
    }
}

/// A place has its line, and its column is in it.
fn lies_in(place: &Place, text: &str) {
    let line = text.split('\n').nth(place.line - 1).unwrap_or_else(|| panic!("{place:?}"));
    assert!(place.column >= 1 && place.column - 1 + place.width <= line.chars().count(), "{place:?} in {line:?}");
    assert!(line.contains(&place.text), "{place:?} in {line:?}");
}
