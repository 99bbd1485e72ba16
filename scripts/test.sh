#!/bin/sh
# Runs the named parts of the tests one after the other, whatever each says, and sums up.
# usage: scripts/test.sh PART...      (PART is a target of the Makefile)
# The last line is "N passed, N failed". A part that fails without a failed test (it did not
# compile, it crashed) counts as one failure. The exit status is 0 only when nothing failed.
set -eu
. "$(dirname "$0")/lib.sh"

logs=$TARGET_DIR/test-logs
mkdir -p "$logs"
passed=0 failed=0 skipped=0

# count WORD FILE: the sum of N in "N WORD" over the result lines that test programs print.
count() {
    awk -v word="$1" '/^test result: / {
        for (i = 2; i <= NF; i++) if ($i ~ "^" word ";?$") sum += $(i - 1)
    } END { print sum + 0 }' "$2"
}

run_part() {
    part=$1 log=$logs/$1.log
    echo "==== $part"
    # A pipe would swallow make's exit status; it leaves it in a file.
    { status=0; "${MAKE:-make}" --no-print-directory "$part" 2>&1 || status=$?; echo "$status" >"$log.status"; } | tee "$log"
    part_failed=$(count failed "$log")
    if [ "$(cat "$log.status")" != 0 ] && [ "$part_failed" = 0 ]; then
        echo "$part broke off; see $log"
        part_failed=1
    fi
    passed=$((passed + $(count passed "$log")))
    failed=$((failed + part_failed))
    skipped=$((skipped + $(count ignored "$log")))
    [ "$part_failed" = 0 ] || broken="${broken:-} $part"
}

for part in "$@"; do
    run_part "$part"
done

echo "===="
[ -z "${broken:-}" ] || echo "failures in:$broken"
[ "$skipped" = 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
