#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| nexthop_fuzz::messages(input));
