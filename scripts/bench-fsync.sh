#!/bin/sh
# What fsync costs, Quill beside Debian's Linux in the same QEMU: microseconds, operations of the disk and
# executed instructions for each append, overwrite and new file. usage: scripts/bench-fsync.sh [ROUNDS]
# The disk lies in memory (/dev/shm), so that the host's own disk is not what is measured; each runs
# on its own copy. Instructions are those of the program and the kernel, without what they wait, counted in a
# run of their own (insns.c); without a C compiler that column is empty.
# Exit status 77: Linux could not be had. `make build user` comes before.
set -eu
. "$(dirname "$0")/lib.sh"
bench_begin
bench_disk "$work/fresh" 256M syncbench
rounds=${1:-25}
run="/bin/syncbench /data vda $rounds"

# quill and linux, with the arguments of the plugin or without; each on a fresh copy of the disk.
quill() {
    cp --sparse=always "$work/fresh" "$work/disk"
    bench_quill "$work/disk" "$run" "$@"
    e2fsck -fn "$work/disk" >/dev/null 2>&1 || { echo "e2fsck: Quill's disk is not clean" >&2; exit 1; }
}
linux() {
    cp --sparse=always "$work/fresh" "$work/disk"
    bench_linux "$work/disk" "$run" "$@"
}

least() { bench_least "$work/marks" "$(grep -c ' us .* flushes' "$work/quill")" 0 "$rounds"; }

quill >"$work/quill"
linux >"$work/linux"
if bench_counts; then
    # shellcheck disable=SC2046
    quill $(counting_quill "$work/marks") >/dev/null && least >>"$work/quill"
    # shellcheck disable=SC2046
    linux $(counting_linux "$work/marks") >/dev/null && least >>"$work/linux"
fi

awk '
    function figures(line, into, key) {
        sub(/^[^:]*: /, "", line)
        split(line, f, " ")
        into[key] = f[1]; into[key, "w"] = f[5]; into[key, "k"] = f[7]; into[key, "f"] = f[9]
    }
    FNR == 1 { counted = 0; file++ }
    / us .* flushes/ {
        key = $0; sub(/:.*/, "", key)
        if (file == 1) { order[++n] = key; figures($0, quill, key) } else figures($0, linux, key)
    }
    /^insns/ { if (file == 1) quill[order[++counted], "i"] = $2; else linux[order[++counted], "i"] = $2 }
    END {
        head = "%-27s %34s  %34s  %11s\n"
        printf head, "", "Quill", "Linux", "ratio"
        columns = "%8s %6s %4s %4s %8s  "
        printf "%-28s" columns columns "%5s %5s\n", "", "us", "writes", "KiB", "fl.", "insns", "us", "writes",
            "KiB", "fl.", "insns", "time", "insns"
        columns = "%8.1f %6.2f %4.0f %4.2f %8s  "
        for (i = 1; i <= n; i++) {
            k = order[i]
            ratio = linux[k, "i"] > 0 ? sprintf("%.2f", quill[k, "i"] / linux[k, "i"]) : ""
            printf "%-28s" columns columns "%5.2f %5s\n", k,
                quill[k], quill[k, "w"], quill[k, "k"], quill[k, "f"], quill[k, "i"],
                linux[k], linux[k, "w"], linux[k, "k"], linux[k, "f"], linux[k, "i"], quill[k] / linux[k], ratio
        }
    }' "$work/quill" "$work/linux"
