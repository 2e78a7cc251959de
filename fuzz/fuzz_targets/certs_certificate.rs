//! See `certs::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corpora::check(corpora::DECODER, bytes, certs::fuzzing::certificate));
