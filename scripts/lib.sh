# Shared by the scripts here; to be sourced by a POSIX shell.
#
# The toolchain has two routes:
#   rustup   the version pinned in rust-toolchain.toml, with the ready-made core for the bare target
#   debian   Debian's rustc-web, cargo-web, rust-web-src and lld, which build core themselves
# QUILL_TOOLCHAIN forces one. setup.sh decides otherwise and writes the decision to
# $TARGET_DIR/toolchain.env, where cargo.sh reads it.

ROOT=$(cd "$(dirname "$0")/.." && pwd)
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
ROUTE_FILE=$TARGET_DIR/toolchain.env
BARE_TARGET=aarch64-unknown-none-softfloat
DEBIAN_SOURCES=/usr/lib/rustlib/src/rust/library/core/Cargo.toml

# e2fsprogs lives in sbin, which is not on every user's PATH; Homebrew does not link it at all.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/opt/homebrew/opt/e2fsprogs/sbin:/usr/local/opt/e2fsprogs/sbin
[ -d "${CARGO_HOME:-$HOME/.cargo}/bin" ] && PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
export PATH

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

pinned_version() { sed -n 's/^channel *= *"\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml"; }

# The pinned toolchain and its bare target are installed.
rustup_ready() {
    have rustup && rustup run "$(pinned_version)" cargo --version >/dev/null 2>&1 &&
        rustup target list --toolchain "$(pinned_version)" --installed 2>/dev/null | grep -qx "$BARE_TARGET"
}

# Debian's toolchain, new enough, its sources and a linker are installed.
debian_ready() {
    [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] && [ -e "$DEBIAN_SOURCES" ] && have ld.lld &&
        [ "$(minor "$(/usr/bin/rustc --version 2>/dev/null | cut -d' ' -f2)")" -ge "$(minor "$(pinned_version)")" ]
}

# The 95 of 1.95.0; 0 for what is no version.
minor() { printf '%s\n' "$1" | sed -n 's/^1\.\([0-9][0-9]*\)\..*/\1/p; t
s/.*/0/p'; }

# The route to take now: the forced one, the decided one, or the first that is ready.
route() {
    if [ -n "${QUILL_TOOLCHAIN:-}" ]; then
        echo "$QUILL_TOOLCHAIN"
    elif [ -r "$ROUTE_FILE" ]; then
        sed -n 's/^QUILL_TOOLCHAIN=//p' "$ROUTE_FILE"
    elif rustup_ready; then
        echo rustup
    elif debian_ready; then
        echo debian
    else
        die "no toolchain is set up yet; run \`make setup\`"
    fi
}

# --- for the bench-*.sh, which run one program under Quill and under Debian's Linux in the same QEMU

# Linux can be had; else exit status 77. Then $work is a folder that goes when the script does. It lies in
# memory, so that the host's own disk is not what is measured.
bench_begin() {
    "$ROOT/scripts/linux.sh" --have || exit 77
    work=$(mktemp -d -p /dev/shm)
    trap 'rm -rf "$work"' EXIT
}

# bench_disk FILE SIZE PROGRAM: an ext4 disk of mke2fs's defaults (MKFS: its options) with /bin/PROGRAM of
# user/ and what Linux mounts on.
bench_disk() {
    mkdir -p "$work/tree/dev" "$work/tree/proc" "$work/tree/sys" "$work/tree/bin" "$work/tree/data"
    cp "$TARGET_DIR/$BARE_TARGET/release/$3" "$work/tree/bin/"
    truncate -s "$2" "$1"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 ${MKFS:-} -d "$work/tree" "$1"
}

# bench_quill DISK "COMMAND" [OPTION...], bench_linux DISK "COMMAND" [QEMU ARGUMENT...]: what the command
# prints. Its words are split at spaces.
bench_quill() {
    disk=$1 command=$2
    shift 2
    # shellcheck disable=SC2086
    "$TARGET_DIR/release/quill" run --disk "$disk" --memory 512M "$@" ":${command%% *}" ${command#* }
}
bench_linux() {
    disk=$1
    echo "$2" >"$work/commands"
    shift 2
    "$ROOT/scripts/linux.sh" "$disk" "$work/commands" "$@"
}

# Builds the plugin that counts executed instructions; false where there is no C compiler, or a QEMU that cannot
# load it. Then bench_quill and bench_linux take `$(counting_quill FILE)`, `$(counting_linux FILE)`.
bench_counts() {
    have cc && cc -O2 -shared -fPIC -o "$work/insns.so" "$ROOT/scripts/insns.c" 2>/dev/null
}
counting_quill() { printf '%s' "--qemu-arg=-plugin --qemu-arg=file=$work/insns.so,out=$1"; }
counting_linux() { printf '%s' "-plugin file=$work/insns.so,out=$1"; }

# bench_least MARKS LINES SKIP STEPS: MARKS has two marks around each run: after SKIP runs, as many of each of
# LINES lines. "insns N" for each line: the least of its runs, for one of STEPS steps.
bench_least() {
    awk -v lines="$2" -v skip="$3" -v steps="$4" '
        NR % 2 { begin = $1; next }
        NR / 2 > skip { cost[++runs] = $1 - begin }
        END {
            for (i = 1; i <= runs; i++) {
                line = int((i - 1) / (runs / lines))
                if (!(line in best) || cost[i] < best[line]) best[line] = cost[i]
            }
            for (line = 0; line < lines; line++) printf "insns %d\n", best[line] / steps
        }' "$1"
}

# bench_table QUILL LINUX: lines "WHAT: N us, ..." of both, the best of each, side by side; and behind them
# what bench_least printed, if anything, as a ratio.
bench_table() {
    awk -F': | us, ' '
        function best(table) { if (!($1 in table) || $2 + 0 < table[$1]) table[$1] = $2 + 0 }
        FNR == 1 { file++; counted = 0 }
        /us, / { if (file == 1) { if (!($1 in quill)) order[++n] = $1; best(quill) } else best(linux) }
        /^insns/ { insns[file, ++counted] = substr($0, 7) }
        END {
            printf "%-28s %10s %10s %8s %8s\n", "", "Quill us", "Linux us", "ratio", "insns"
            for (i = 1; i <= n; i++) {
                k = order[i]
                executed = insns[2, i] > 0 ? sprintf("%.2f", insns[1, i] / insns[2, i]) : ""
                if (linux[k] > 0)
                    printf "%-28s %10.1f %10.1f %8.2f %8s\n", k, quill[k], linux[k], quill[k] / linux[k], executed
            }
        }' "$1" "$2"
}
