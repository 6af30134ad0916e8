//! Names of images: what is accepted is printed as something that means the same, is safe for a
//! terminal, and has no part that leads to another directory.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrier_fuzz::reference(data));
