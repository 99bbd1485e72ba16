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
