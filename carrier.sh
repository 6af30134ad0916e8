#!/usr/bin/env bash
# Runs Carrier from its sources: builds the release binary when it is missing or older than a source.
set -euo pipefail

home=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
host=$(uname -m)-unknown-linux-gnu
binary=$home/target/$host/release/carrier

is_stale() {
    [ ! -x "$binary" ] || [ -n "$(find "$home/crates" "$home/Cargo.toml" "$home/Cargo.lock" "$home/.cargo" \
        -newer "$binary" -type f -print -quit)" ]
}

if is_stale; then
    echo "building carrier ..." >&2
    (cd "$home" && cargo build --release --locked --quiet -p carrier)
    # Cargo leaves a binary that would not change as it is.
    touch "$binary"
fi
exec "$binary" "$@"
