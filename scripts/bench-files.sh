#!/bin/sh
# A file of an ext4 disk written and read, Quill beside Debian's Linux in the same QEMU: a table of
# microseconds per call and their ratio. usage: scripts/bench-files.sh [MIB [TURNS [KIND [KIB]]]]
# They take turns, TURNS (3) each, every time on a new disk, and the best of each line counts: a busy host
# only ever adds. The last column is the ratio of the instructions that the guest executes, which no host changes,
# counted in a run of their own (insns.c); without a C compiler it is empty. The disks lie in memory (/dev/shm), so
# that the host's own disk is not what is measured.
# KIND and KIB are those of user/src/bin/filebench.rs. Exit status 77: Linux could not be had.
# `make build user` comes before.
set -eu
. "$(dirname "$0")/lib.sh"
bench_begin
bench_disk "$work/fresh" 512M filebench
run="/bin/filebench /data ${1:-64} 3 ${3:-} ${4:-}"

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
# The first run makes the file.
least() { bench_least "$work/marks" "$(grep -c 'us, ' "$work/counted")" 1 1; }

for _ in $(seq "${2:-3}"); do
    quill >>"$work/quill"
    linux >>"$work/linux"
done
if bench_counts; then
    # shellcheck disable=SC2046
    quill $(counting_quill "$work/marks") >"$work/counted" && least >>"$work/quill"
    # shellcheck disable=SC2046
    linux $(counting_linux "$work/marks") >"$work/counted" && least >>"$work/linux"
fi
bench_table "$work/quill" "$work/linux"
