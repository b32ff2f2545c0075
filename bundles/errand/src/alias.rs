//! Memory that is handed over many times at once.

use std::mem::ManuallyDrop;

use certosa_sdk::schemars::JsonSchema;
use certosa_sdk::serde::Deserialize;
use wasip2::http::types::Fields;

#[derive(Deserialize, JsonSchema)]
#[serde(crate = "certosa_sdk::serde")]
#[schemars(crate = "certosa_sdk::schemars")]
pub struct Alias {
    /// How many headers.
    count: usize,
    /// How many bytes the value of each has. They are the same bytes in each.
    bytes: usize,
}

pub fn alias(Alias { count, bytes }: Alias) -> String {
    let mut value = ManuallyDrop::new(vec![b'x'; bytes]);
    let again = || {
        #[expect(unsafe_code, reason = "it takes a lie to have the same memory many times")]
        // SAFETY: all of them are read, and none is written or dropped.
        unsafe {
            Vec::from_raw_parts(value.as_mut_ptr(), bytes, bytes)
        }
    };
    let fields = ManuallyDrop::new(std::iter::repeat_with(again).take(count).map(named).collect::<Vec<_>>());
    match Fields::from_list(&fields) {
        Ok(_fields) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn named(value: Vec<u8>) -> (String, Vec<u8>) {
    ("x-same".to_owned(), value)
}
