#!/bin/sh
# Boots a program with the machine stopped at its first instruction, and gdb attached to the kernel.
# usage: scripts/gdb.sh PROGRAM [ARGS...]      env: GDB, GDB_PORT
set -eu
. "$(dirname "$0")/lib.sh"

gdb=${GDB:-gdb-multiarch}
port=${GDB_PORT:-1234}
have "$gdb" || die "$gdb is missing (on Debian: apt install gdb-multiarch; elsewhere set GDB to a gdb that knows aarch64)"

# gdb's Ctrl-C is not for the launcher: where there is setsid, it runs in a session of its own.
apart=
have setsid && apart=setsid
# A named CPU model selects emulation, where breakpoints work alike on every host.
$apart "$TARGET_DIR/release/quill" run --cpu cortex-a72 --qemu-arg -gdb --qemu-arg "tcp:localhost:$port" --qemu-arg -S \
    "$@" </dev/null &
quill=$!
trap 'kill $quill 2>/dev/null || true; wait $quill 2>/dev/null || true' EXIT
"$gdb" -q "$TARGET_DIR/quill.elf" -ex 'set tcp auto-retry on' -ex "target remote localhost:$port"
