//! Bytes as a component: its shape, its world as WIT and the tools in it.

use certosa_isolate::{check_shape, fuzzing};

use super::schema;

pub fn run(data: &[u8]) {
    let Ok(shape) = check_shape(data) else { return };
    let _form = shape.form();
    let text = fuzzing::wit(data);
    if let Ok(described) = fuzzing::describe(data) {
        // Types and functions that can be described can be written as well.
        assert!(text.is_ok(), "{text:?}");
        schema::check(&described);
    }
}
