//! Archives of layers: reading ends, gives no more than there is, and gives the same again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carrier_fuzz::tar(data));
