#!/bin/sh
# A file of an ext4 disk written and read, Quill beside Debian's Linux in the same QEMU: a table of
# microseconds per call and their ratio. usage: scripts/bench-files.sh [MIB [TURNS [KIND [KIB]]]]
# They take turns, TURNS (3) each, every time on a new disk, and the best of each line counts: a busy host
# only ever adds. The disks lie in memory (/dev/shm), so that the host's own disk is not what is measured.
# KIND and KIB are those of user/src/bin/filebench.rs. Exit status 77: Linux could not be had.
# `make build user` comes before.
set -eu
. "$(dirname "$0")/lib.sh"
bench_begin
bench_disk "$work/fresh" 512M filebench
run="/bin/filebench /data ${1:-64} 3 ${3:-} ${4:-}"

for _ in $(seq "${2:-3}"); do
    cp --sparse=always "$work/fresh" "$work/disk"
    bench_quill "$work/disk" "$run" >>"$work/quill"
    e2fsck -fn "$work/disk" >/dev/null 2>&1 || { echo "e2fsck: Quill's disk is not clean" >&2; exit 1; }
    cp --sparse=always "$work/fresh" "$work/disk"
    bench_linux "$work/disk" "$run" >>"$work/linux"
done
bench_table "$work/quill" "$work/linux"
