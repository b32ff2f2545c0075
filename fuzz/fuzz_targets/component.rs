#![no_main]

use std::panic;

// The host lives through a panic of the libraries that read types, so the fuzzer must not end it: it sees those
// that leave the target.
libfuzzer_sys::fuzz_target!(
    init: {
        panic::set_hook(Box::new(|info| {
            if info.location().is_none_or(|place| !place.file().contains("/wit-")) {
                eprintln!("{info}");
            }
        }));
    },
    |data: &[u8]| certosa_fuzz::bodies::component::run(data)
);
