#!/bin/sh
# O_DIRECT and cold reads of a second disk, Quill beside Debian's Linux in the same QEMU: a table of
# microseconds per call and their ratio. usage: scripts/bench-direct.sh [MIB [ROUNDS]]
# The disks lie in memory (/dev/shm), so that the host's own disk is not what is measured. Exit status
# 77: Linux could not be had. `make build user` comes before.
set -eu
. "$(dirname "$0")/lib.sh"
bench_begin
bench_disk "$work/vda" 64M ddbench
truncate -s 64M "$work/vdb"
run="/bin/ddbench /dev/vdb ${1:-16} ${2:-5}"
drive="if=none,id=second,format=raw,file=$work/vdb"
device=virtio-blk-device,drive=second

bench_quill "$work/vda" "$run" --qemu-arg=-drive --qemu-arg "$drive" --qemu-arg=-device --qemu-arg "$device" \
    >"$work/quill"
bench_linux "$work/vda" "$run" -drive "$drive" -device "$device" >"$work/linux"
bench_table "$work/quill" "$work/linux"
