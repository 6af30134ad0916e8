//! Configurations of images: what is accepted has as many layers as the manifest, and is the same
//! when it is written and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrier_fuzz::config(data));
