//! The seccomp compiler, its default profile and its front ends, by running the programs that they
//! make on calls.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bundles;
mod calls;
mod default_profile;
mod docker;
mod interpreter;
mod load;
mod measures;
#[cfg(feature = "libseccomp-oracle")]
mod oracle;
mod properties;
mod semantics;
