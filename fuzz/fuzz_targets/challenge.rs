//! The header `WWW-Authenticate`: what is understood of it is no longer than it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrier_fuzz::challenge(data));
