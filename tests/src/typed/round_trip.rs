//! Types by chance, and values of them through the real canonical ABI and back.

use certosa_isolate::CellError;
use serde_json::Value;

use super::types::{Chance, Ty, Types, broken};
use super::{Bench, Loaded, TIME, boxed, echoes, is_refusal};

const COMPONENTS: u64 = 30;
const TYPES_EACH: usize = 10;
const VALUES_EACH: usize = 6;
const MISFITS_EACH: usize = 6;

#[test]
fn every_value_of_every_type_comes_back() {
    let bench = Bench::new();
    let mut refused = 0;
    for seed in 0..COMPONENTS {
        let mut chance = Chance::Seed(seed);
        let types = Types::random(&mut chance, 6);
        let values: Vec<Ty> = (0..TYPES_EACH).map(|_| types.ty(&mut chance, 4)).collect();
        let texts: Vec<String> = values.iter().map(Ty::wit).collect();
        let loaded = bench.load(&echoes(&types.wit(), &texts));
        assert_eq!(loaded.described.skipped, [], "{}", types.wit());
        for (index, ty) in values.iter().enumerate() {
            let schema = loaded.input(index);
            for _ in 0..VALUES_EACH {
                let value = types.value(&mut chance, ty, 4);
                let place = || format!("seed {seed}, {}: {value}\n{}", ty.wit(), types.wit());
                assert_eq!(schema.check(&boxed(&value), TIME), Ok(()), "{}", place());
                let got = loaded.echo(index, &value).unwrap_or_else(|error| panic!("{error:?}: {}", place()));
                assert_eq!(types.plain(ty, &got), types.plain(ty, &value), "{}", place());
                for _ in 0..MISFITS_EACH {
                    refused += usize::from(misfit(&loaded, index, &mut chance, &value));
                }
            }
        }
    }
    assert!(refused > 5_000, "only {refused} values did not fit");
}

/// Breaks a value somewhere: schema and conversion agree on whether it still fits, and the host is not harmed.
fn misfit(loaded: &Loaded<'_>, index: usize, chance: &mut Chance, value: &Value) -> bool {
    let broken = broken(chance, value);
    let fits = loaded.input(index).check(&boxed(&broken), TIME);
    match (fits, loaded.echo(index, &broken)) {
        (Ok(()), Ok(_)) => false,
        (Err(_), Err(error)) if is_refusal(&error) => true,
        (Ok(()), Err(CellError::Refused(why))) => panic!("the schema takes {broken}, and the machine says {why:?}"),
        (Err(why), Ok(_)) => panic!("the machine takes {broken}, and the schema says {why:?}"),
        (_, Err(error)) => panic!("{broken}: {error:?}"),
    }
}
