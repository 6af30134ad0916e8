//! Manifests and indexes: what is accepted has few entries, and digests of which files can be named.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrier_fuzz::manifest(data));
