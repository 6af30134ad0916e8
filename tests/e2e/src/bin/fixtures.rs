//! Makes the images that the end-to-end tests share, so that no test's time is spent on it.

fn main() {
    carrier_e2e::make_fixtures();
}
