#!/usr/bin/env bash
# Rules of the house that no other tool checks.
set -euo pipefail
cd "$(dirname "$0")/.."

fail=0
complain() {
    echo "house rule: $*" >&2
    fail=1
}

if grep -rn --include='*.rs' -E '\bunsafe (\{|fn|impl|extern)' crates tests | grep -v '^crates/carrier-sys/'; then
    complain "unsafe code belongs in carrier-sys"
fi
while read -r lines file; do
    [ "$lines" -le 600 ] || complain "$file has $lines lines; split it at 600"
done < <(find crates tests -name '*.rs' -not -path '*/target/*' -exec wc -l {} + | grep -v ' total$')
if command -v shellcheck >/dev/null; then
    shellcheck scripts/*.sh carrier.sh .ci/run || complain "shellcheck is not content"
fi
exit "$fail"
