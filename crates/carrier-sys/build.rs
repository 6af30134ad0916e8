//! Builds the trampoline, a program that is carried inside of the library: see `src/trampoline.rs`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "src/trampoline/program.rs";

/// No library, no dynamic linker, no tables that only tools read.
const OPTIONS: [&str; 14] = [
    "--edition=2024",
    "--crate-type=bin",
    "--crate-name=trampoline",
    "-Cpanic=abort",
    "-Copt-level=s",
    "-Cdebug-assertions=off",
    "-Cstrip=symbols",
    "-Crelocation-model=static",
    "-Cforce-unwind-tables=no",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-static",
    "-Clink-arg=-Wl,--build-id=none",
    "-Clink-arg=-Wl,-z,noseparate-code",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCE}");
    let variable = |name: &str| env::var_os(name).unwrap_or_default();
    let output = PathBuf::from(variable("OUT_DIR")).join("trampoline");
    let mut command = Command::new(variable("RUSTC"));
    command
        .args(OPTIONS)
        .arg(SOURCE)
        .arg("--target")
        .arg(variable("TARGET"));
    command.arg("-o").arg(output);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        command.arg("-C").arg({
            let mut option = std::ffi::OsString::from("linker=");
            option.push(linker);
            option
        });
    }
    match command.status() {
        Ok(status) if status.success() => {}
        other => panic!("cannot build the trampoline: {other:?}"),
    }
}
