//! What a bundle offers and the host runs: a line with a schema and one with a value to check, a line with a
//! template of addresses and one with an address.

use certosa_house::{Schema, fuzzing};
use certosa_model::parse_json;

pub fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or("");
    let (schema, value, template, uri) = (next(), next(), next(), next());
    if let (Ok(schema), Ok(value)) = (Schema::of_object(schema), parse_json(value)) {
        let checked = schema.check(&value, super::TIME);
        assert_eq!(schema.check(&value, super::TIME), checked);
        assert!(checked.is_err() || value.is_object(), "{value}");
    }
    if let Ok((variables, Some(found))) = fuzzing::read_template(template, uri) {
        assert!(variables.iter().eq(found.iter().map(|(variable, _)| variable)), "{template} {uri}");
    }
}
