#!/bin/sh
# What fsync costs, Quill beside Debian's Linux in the same QEMU: microseconds and operations of the disk
# for each append, overwrite and new file. usage: scripts/bench-fsync.sh [ROUNDS]
# The disk lies in memory (/dev/shm), so that the host's own disk is not what is measured; each runs
# on its own copy. Exit status 77: Linux could not be had. `make build user` comes before.
set -eu
. "$(dirname "$0")/lib.sh"
bench_begin
bench_disk "$work/one" 256M syncbench
cp --sparse=always "$work/one" "$work/two"
run="/bin/syncbench /data vda ${1:-25}"

bench_quill "$work/one" "$run" >"$work/quill"
bench_linux "$work/two" "$run" >"$work/linux"
e2fsck -fn "$work/one" >/dev/null 2>&1 || { echo "e2fsck: Quill's disk is not clean" >&2; exit 1; }

awk '
    function figures(line, into, key) {
        sub(/^[^:]*: /, "", line)
        split(line, f, " ")
        into[key] = f[1]; into[key, "w"] = f[5]; into[key, "k"] = f[7]; into[key, "f"] = f[9]
    }
    / us .* flushes/ {
        key = $0; sub(/:.*/, "", key)
        if (FNR == NR) { order[++n] = key; figures($0, quill, key) } else figures($0, linux, key)
    }
    END {
        printf "%-28s %24s   %24s   %s\n", "", "Quill", "Linux", "time"
        printf "%-28s %8s %6s %4s %4s  %8s %6s %4s %4s  %s\n", "", "us", "writes", "KiB", "fl.", "us", "writes", "KiB", "fl.", "ratio"
        for (i = 1; i <= n; i++) {
            k = order[i]
            printf "%-28s %8.1f %6.2f %4.0f %4.2f  %8.1f %6.2f %4.0f %4.2f  %.2f\n", k,
                quill[k], quill[k, "w"], quill[k, "k"], quill[k, "f"],
                linux[k], linux[k, "w"], linux[k, "k"], linux[k, "f"], quill[k] / linux[k]
        }
    }' "$work/quill" "$work/linux"
