//! See `api::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corpora::check(corpora::STATE, bytes, api::fuzzing::body));
