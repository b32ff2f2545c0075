//! WIT as JSON Schema. An input that begins with a zero says which types to make; any other is WIT text.

use std::collections::VecDeque;

use certosa_house::Schema;
use certosa_isolate::{Description, fuzzing};
use certosa_model::parse_json;
use wit_parser::Resolve;

use crate::typed::types::{Chance, Types};

pub fn run(data: &[u8]) {
    match data {
        [0, rest @ ..] => {
            let mut chance = Chance::Bytes(VecDeque::from(rest.to_owned()));
            let count = chance.below(12);
            let types = Types::random(&mut chance, count);
            let (x, y) = (types.ty(&mut chance, 4), types.ty(&mut chance, 4));
            let described = describe(&function(&types, &format!("f: func(x: {}) -> {};", x.wit(), y.wit())));
            assert_eq!((described[0].functions.len(), described[0].skipped.len()), (1, 0), "{described:?}");
        }
        text => {
            let Ok(text) = str::from_utf8(text) else { return };
            describe(text);
        }
    }
}

/// A world `w` that exports an interface with these types and this function.
pub fn function(types: &Types, function: &str) -> String {
    format!("package t:t;\ninterface i {{\n{}\n{function}\n}}\nworld w {{ export i; }}\n", types.wit())
}

/// What the worlds of this text export.
pub fn describe(text: &str) -> Vec<Description> {
    let mut resolve = Resolve::default();
    if resolve.push_str("t.wit", text).is_err() {
        return Vec::new();
    }
    let worlds = resolve.worlds.iter().map(|(id, _)| id);
    let described: Vec<_> = worlds.filter_map(|world| fuzzing::describe_world(&resolve, world)).collect();
    described.iter().for_each(check);
    described
}

/// Schemas are JSON that the house takes, and can be used.
pub fn check(described: &Description) {
    for function in &described.functions {
        for schema in [Some(&function.input_schema), function.output_schema.as_ref()].into_iter().flatten() {
            parse_json(schema).unwrap_or_else(|error| panic!("{error}: {schema}"));
            Schema::of_object(schema).map(drop).unwrap_or_else(|error| panic!("{error}: {schema}"));
        }
    }
}
