#!/bin/sh
# O_DIRECT and cold reads of a second disk, Quill beside Debian's Linux in the same QEMU: a table of
# microseconds per call and their ratio. usage: scripts/bench-direct.sh [MIB [ROUNDS]]
# The disks lie in memory (/dev/shm), so that the host's own disk is not what is measured. Exit status
# 77: Linux could not be had. `make build user` comes before.
set -eu
. "$(dirname "$0")/lib.sh"
"$ROOT/scripts/linux.sh" --have || exit 77
work=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tree/dev" "$work/tree/proc" "$work/tree/bin"
cp "$TARGET_DIR/aarch64-unknown-none-softfloat/release/ddbench" "$work/tree/bin/"
truncate -s 64M "$work/vda" "$work/vdb"
mke2fs -q -F -t ext4 -d "$work/tree" "$work/vda"
run="/bin/ddbench /dev/vdb ${1:-16} ${2:-5}"
echo "$run" >"$work/commands"
drive="if=none,id=second,format=raw,file=$work/vdb"
device=virtio-blk-device,drive=second

# shellcheck disable=SC2086
"$TARGET_DIR/release/quill" run --disk "$work/vda" --memory 512M --qemu-arg=-drive --qemu-arg "$drive" \
    --qemu-arg=-device --qemu-arg "$device" ":${run%% *}" ${run#* } >"$work/quill"
"$ROOT/scripts/linux.sh" "$work/vda" "$work/commands" -drive "$drive" -device "$device" >"$work/linux"

awk -F': | us, ' '
    /us, / && FNR == NR { quill[$1] = $2; order[++n] = $1; next }
    /us, / { linux[$1] = $2 }
    END {
        printf "%-24s %10s %10s %8s\n", "", "Quill us", "Linux us", "ratio"
        for (i = 1; i <= n; i++) {
            k = order[i]
            printf "%-24s %10.1f %10.1f %8.2f\n", k, quill[k], linux[k], quill[k] / linux[k]
        }
    }' "$work/quill" "$work/linux"
