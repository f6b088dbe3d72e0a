#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| platform_fuzz::config(bytes));
