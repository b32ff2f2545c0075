//! What typed functions are called as tools.
//!
//! The name of the function if no other one has it, else the interface and the function, else the package as
//! well. WIT names have no `_`, so the three kinds never meet. What is too long, or taken all the same, ends
//! with eight digits of the SHA-256 of its full name.

use std::collections::{HashMap, HashSet};

use certosa_model::Digest;

use super::Function;

const HASH_DIGITS: usize = 8;

/// The names of these functions, in their order: 1 to `bytes_max` characters out of `A-Z a-z 0-9 _ -`, all
/// distinct. `None` for a function whose name is taken even with the digits.
pub(super) fn assign(functions: &[Function], bytes_max: usize) -> Vec<Option<String>> {
    let names = plain(functions);
    let mut count = HashMap::<&str, usize>::new();
    for name in &names {
        *count.entry(name.as_str()).or_default() += 1;
    }
    let is_good = |name: &str| name.len() <= bytes_max && count.get(name) == Some(&1);
    let mut taken: HashSet<String> = names.iter().filter(|name| is_good(name)).cloned().collect();
    let named = functions.iter().zip(&names).map(|(function, name)| {
        if is_good(name) {
            return Some(name.clone());
        }
        let short = shortened(name, &function.export(), bytes_max);
        taken.insert(short.clone()).then_some(short)
    });
    named.collect()
}

/// The shortest of the three names that tells a function from all others; the longest may not.
fn plain(functions: &[Function]) -> Vec<String> {
    let by_function = counted(functions.iter().map(|function| function.name.clone()));
    let by_interface = counted(functions.iter().map(with_interface));
    let unique = |counts: &HashMap<String, usize>, name: &str| counts.get(name) == Some(&1);
    let name = |function: &Function| match (&function.interface, with_interface(function)) {
        (None, _) => function.name.clone(),
        _ if unique(&by_function, &function.name) => function.name.clone(),
        (_, name) if unique(&by_interface, &name) => name,
        (Some(interface), _) => format!("{}_{}", written(interface), function.name),
    };
    functions.iter().map(name).collect()
}

fn counted(names: impl Iterator<Item = String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// `calc_add` for the function `add` of `docs:sums/calc@0.1.0`.
fn with_interface(function: &Function) -> String {
    let Some(interface) = &function.interface else { return function.name.clone() };
    let name = interface.rsplit_once('/').map_or(interface.as_str(), |(_, name)| name);
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    format!("{}_{}", written(name), function.name)
}

/// `docs-sums_calc_0-1-0` for `docs:sums/calc@0.1.0`.
fn written(interface: &str) -> String {
    let letter = |letter: char| match letter {
        '/' | '@' => '_',
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '-',
    };
    interface.chars().map(letter).collect()
}

fn shortened(name: &str, export: &str, bytes_max: usize) -> String {
    let digits = Digest::of(export.as_bytes()).to_hex();
    let digits = digits.get(..HASH_DIGITS).unwrap_or_default();
    let kept = bytes_max.saturating_sub(HASH_DIGITS + 1).min(name.len());
    format!("{}-{digits}", name.get(..kept).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(export: &str) -> Function {
        let (interface, name) = match export.split_once('#') {
            Some((interface, name)) => (Some(interface.to_owned()), name),
            None => (None, export),
        };
        let (description, input_schema) = Default::default();
        Function { interface, name: name.to_owned(), description, input_schema, output_schema: None }
    }

    fn named(exports: &[&str], bytes_max: usize) -> Vec<Option<String>> {
        assign(&exports.iter().map(|export| function(export)).collect::<Vec<_>>(), bytes_max)
    }

    #[test]
    fn a_name_is_as_short_as_it_can_be() {
        let names = named(&["a:b/c@1.0.0#sub", "add", "a:b/c@1.0.0#add", "a:b/d#neg", "x:y/d#neg", "local#neg"], 60);
        let names: Vec<_> = names.into_iter().flatten().collect();
        assert_eq!(names, ["sub", "add", "c_add", "a-b_d_neg", "x-y_d_neg", "local_neg"]);
        let names: Vec<_> = named(&["a:b/c@1.0.0#f", "a:b/c@2.0.0-rc.1+x#f"], 60).into_iter().flatten().collect();
        assert_eq!(names, ["a-b_c_1-0-0_f", "a-b_c_2-0-0-rc-1-x_f"]);
    }

    #[test]
    fn what_is_too_long_or_taken_gets_digits() {
        let long = "x".repeat(80);
        let names = named(&[&long, &format!("{long}y"), "a"], 23);
        let names: Vec<_> = names.into_iter().flatten().collect();
        assert!(names[0].starts_with(&"x".repeat(14)) && names[0].len() == 23, "{names:?}");
        assert!(names[1].len() == 23 && names[0] != names[1] && names[2] == "a", "{names:?}");
        // The two packages are written in the same way.
        let names: Vec<_> = named(&["a-b:c/d#f", "a:b-c/d#f"], 60).into_iter().flatten().collect();
        assert!(names.iter().all(|name| name.starts_with("a-b-c_d_f-")) && names[0] != names[1], "{names:?}");
        // The same function twice, as no component can have it.
        assert_eq!(named(&["a:b/c#f", "a:b/c#f"], 60).iter().flatten().count(), 1);
    }

    #[test]
    fn names_do_not_depend_on_their_order() {
        let exports = ["a:b/c#f", "a:b/d#f", "g", "a-b:c/d#f", "a:b-c/d#f", "h:i/j#g"];
        let mut pairs: Vec<_> = exports.iter().copied().zip(named(&exports, 30)).collect();
        let mut turned = exports;
        turned.reverse();
        let mut again: Vec<_> = turned.iter().copied().zip(named(&turned, 30)).collect();
        pairs.sort();
        again.sort();
        assert_eq!(pairs, again);
    }
}
