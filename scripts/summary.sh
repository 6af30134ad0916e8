#!/usr/bin/env bash
# Adds up the summaries of test runs: LOG holds the output of nextest, SKIPS a line a skipped test.
set -euo pipefail
log=$1
skips=$2

count() { # how many tests the summaries of the log say are $1
    sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^ +Summary' | grep -oE "[0-9]+ $1" |
        awk '{ sum += $1 } END { print sum + 0 }'
}

skipped=0
if [ -s "$skips" ]; then
    skipped=$(wc -l <"$skips")
    echo "Skipped here, and why:"
    sort "$skips" | sed 's/^/  /; s/\t/: /'
fi
passed=$(count passed)
echo "$((passed - skipped)) passed, $(count failed) failed, $skipped skipped"
