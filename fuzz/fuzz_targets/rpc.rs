#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certosa_fuzz::bodies::rpc::run(data));
