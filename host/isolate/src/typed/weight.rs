//! What lifted values take in the host beside what wasmtime counts of them.

use wasmtime::component::{Type, Val};

/// Vectors with room to grow, and what the allocator adds, make most values take up to so many times what is counted
/// of them.
const USUAL: usize = 4;

/// Parts of a type that are looked at. What has more is taken for the worst.
const PARTS_MAX: usize = 100_000;

/// The fewest bytes that a vector of strings has room for, and that an allocator gives away.
const STRINGS_MIN: usize = 4;
const ALLOCATION_MIN: usize = 8;
const WORST_PERCENT: usize = 10;

/// How much of the usual fuel a result of this type may have, in percent, so that it does not take more than others
/// in the host. Only flags need less: each that is set is a string of its own, and its name alone is counted.
pub(super) fn fuel_percent(ty: &Type) -> usize {
    let (mut percent, mut parts) = (100, 0);
    look(ty, &mut percent, &mut parts);
    if parts > PARTS_MAX { WORST_PERCENT } else { percent }
}

fn look(ty: &Type, percent: &mut usize, parts: &mut usize) {
    *parts += 1;
    if *parts > PARTS_MAX {
        return;
    }
    let mut look = |ty: Type| look(&ty, percent, parts);
    match ty {
        Type::Flags(flags) => *percent = (*percent).min(flags_percent(flags.names().map(str::len).collect())),
        Type::List(list) => look(list.ty()),
        Type::FixedLengthList(list) => look(list.ty()),
        Type::Map(map) => [map.key(), map.value()].into_iter().for_each(look),
        Type::Record(record) => record.fields().map(|field| field.ty).for_each(look),
        Type::Tuple(tuple) => tuple.types().for_each(look),
        Type::Variant(variant) => variant.cases().filter_map(|case| case.ty).for_each(look),
        Type::Option(option) => look(option.ty()),
        Type::Result(result) => result.ok().into_iter().chain(result.err()).for_each(look),
        _ => {}
    }
}

/// The same for flags with names of these lengths, for the worst choice of them: the short ones.
fn flags_percent(mut names: Vec<usize>) -> usize {
    names.sort_unstable();
    let (mut percent, mut counted, mut strings) = (100, size_of::<Val>(), 0);
    for (index, bytes) in names.into_iter().enumerate() {
        counted += bytes;
        strings += bytes.max(ALLOCATION_MIN);
        let room = (index + 1).next_power_of_two().max(STRINGS_MIN) * size_of::<String>();
        let taken = size_of::<Val>() + room + strings;
        percent = percent.min(100 * USUAL * counted / taken);
    }
    percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_short_flags_are_heavy() {
        assert_eq!(flags_percent(Vec::new()), 100);
        assert_eq!(flags_percent(vec![4, 5, 4]), 100);
        assert_eq!(flags_percent(vec![12; 40]), 88);
        assert!(flags_percent(vec![1; 32]) < 30);
        let mixed = [vec![1; 32], vec![100; 32]].concat();
        assert!(flags_percent(mixed) < 30, "long names make short ones no lighter");
    }
}
