#!/bin/sh
# Installs what is missing, says what it does, and says what to do where it can do nothing.
# usage: scripts/setup.sh build|run|check|test
#   build   a toolchain with the bare target, a C linker for the host
#   run     ... and QEMU, e2fsprogs
#   check   ... build, and rustfmt, clippy
#   test    ... run, and what the tests compare with: the other toolchain route, arm64 programs
# Works as root, as a user with sudo (Debian, Ubuntu), and where everything is there already.
set -eu
. "$(dirname "$0")/lib.sh"

part=${1:-run}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}
can_be_root() { [ "$(id -u)" = 0 ] || have sudo; }

apt_updated=
# Whether apt knows the package; its lists are refreshed once if it does not.
apt_offers() {
    have apt-get || return 1
    apt_candidate "$1" && return 0
    apt_update || return 1
    apt_candidate "$1"
}
apt_candidate() { apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'; }
apt_update() {
    [ -z "$apt_updated" ] || return 0
    can_be_root || return 1
    say "refreshing the package lists"
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update || return 1
    apt_updated=1
}

# apt_install PACKAGE...: once with the lists as they are, once with fresh ones.
apt_install() {
    if ! can_be_root; then
        say "installing needs root, and there is no sudo; let root run: apt-get install $*"
        return 1
    fi
    say "installing $*"
    apt_try "$@" || { apt_update && apt_try "$@"; }
}
apt_try() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "$@" >&2
}

# need COMMAND DEBIAN-PACKAGES BREW-PACKAGE
need() {
    have "$1" && return 0
    if have apt-get; then
        # shellcheck disable=SC2086 # several packages
        apt_install $2 && have "$1" && return 0
        die "$1 is missing (Debian's package: $2)"
    elif [ "$(uname)" = Darwin ]; then
        die "$1 is missing; install it with: brew install $3"
    fi
    die "$1 is missing; install the package that has it (on Debian: $2)"
}

# ---- toolchain -------------------------------------------------------------------------------------

rustup_setup() {
    have rustup || return 1
    rustup_ready && return 0
    version=$(pinned_version)
    if ! rustup run "$version" rustc --version >/dev/null 2>&1; then
        say "installing Rust $version with rustup"
        rustup toolchain install "$version" --profile minimal --no-self-update -c rustfmt -c clippy >&2 || return 1
    fi
    say "adding the target $BARE_TARGET with rustup"
    rustup target add --toolchain "$version" "$BARE_TARGET" >&2 || return 1
    rustup_ready
}

# The compiler comes by security updates, and an image's package lists may be older than they are.
debian_setup() {
    debian_ready && return 0
    have apt-get && apt_update && apt_offers rustc-web || return 1
    apt_install rustc-web cargo-web rust-web-src lld && debian_ready
}

choose_route() {
    case ${QUILL_TOOLCHAIN:-} in
    rustup) rustup_setup || die "rustup cannot provide Rust $(pinned_version) with $BARE_TARGET" ;;
    debian) debian_setup || die "apt cannot provide rustc-web, cargo-web, rust-web-src and lld" ;;
    '') ;;
    *) die "QUILL_TOOLCHAIN is \"$QUILL_TOOLCHAIN\"; it can be rustup or debian" ;;
    esac
    if [ -n "${QUILL_TOOLCHAIN:-}" ]; then
        chosen=$QUILL_TOOLCHAIN
    elif rustup_setup; then
        chosen=rustup
    elif debian_setup; then
        chosen=debian
    else
        die "no Rust toolchain: install rustup (https://rustup.rs), or on Debian" \
            "rustc-web cargo-web rust-web-src lld, of version $(pinned_version) or later"
    fi
    line="QUILL_TOOLCHAIN=$chosen"
    mkdir -p "$TARGET_DIR"
    if [ "$(cat "$ROUTE_FILE" 2>/dev/null)" != "$line" ]; then
        say "the toolchain is $chosen's"
        echo "$line" >"$ROUTE_FILE"
    fi
}

lint_tools() {
    "$ROOT/scripts/cargo.sh" fmt --version >/dev/null 2>&1 &&
        "$ROOT/scripts/cargo.sh" clippy --version >/dev/null 2>&1 && return 0
    case $(route) in
    rustup)
        say "adding rustfmt and clippy with rustup"
        rustup component add --toolchain "$(pinned_version)" rustfmt clippy >&2
        ;;
    debian) apt_install rustfmt-web rust-web-clippy ;;
    esac
}

# ---- what the tests compare with -------------------------------------------------------------------

# Debian's arm64 packages, unpacked under target/: neither root nor a foreign architecture is needed.
# Tests that want a file from there are skipped where it is missing.
arm64_packages() {
    cache=$TARGET_DIR/cache
    [ -e "$cache/arm64/bin/busybox" ] && [ -e "$cache/arm64/usr/include/aarch64-linux-musl" ] &&
        [ -e "$cache/arm64/usr/lib/aarch64-linux-gnu/libsqlite3.a" ] &&
        ls "$cache"/arm64/boot/vmlinuz-* >/dev/null 2>&1 && return 0
    have apt-get && have dpkg-deb || return 1
    say "unpacking busybox-static, musl, SQLite and a Linux kernel for arm64 into $cache/arm64"
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/debs" "$cache/arm64"
    : >"$cache/apt/status"
    arm64_apt update >&2 &&
        (cd "$cache/debs" && arm64_apt download busybox-static musl-dev musl libsqlite3-dev "$(arm64_kernel)" >&2) || return 1
    for deb in "$cache"/debs/*.deb; do
        dpkg-deb -x "$deb" "$cache/arm64" || return 1
    done
}
# Rust's standard library for arm64 Linux, for the compiler that Debian's packages brought.
arm64_rust() {
    version=$(dpkg-query -W -f '${Version}' rustc-web 2>/dev/null) || version=
    [ -n "$version" ] || return 1
    cache=$TARGET_DIR/cache
    [ "$(cat "$cache/arm64/rust-version" 2>/dev/null)" != "$version" ] || return 0
    have apt-get && have dpkg-deb && [ -d "$cache/debs" ] || return 1
    say "unpacking Rust's standard library for arm64 Linux into $cache/arm64"
    rm -rf "$cache/rust-debs" "$cache/arm64/usr/lib/rustlib"
    mkdir -p "$cache/rust-debs"
    (cd "$cache/rust-debs" && arm64_apt download "libstd-rust-web-dev=$version" >&2) &&
        dpkg-deb -x "$cache"/rust-debs/*.deb "$cache/arm64" && echo "$version" >"$cache/arm64/rust-version"
}
# The package that holds the kernel itself, which the tests run programs under for comparison.
arm64_kernel() {
    arm64_tool apt-cache depends linux-image-cloud-arm64 |
        sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1
}
arm64_apt() { arm64_tool apt-get -qq "$@"; }
arm64_tool() {
    tool=$1
    shift
    "$tool" -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= \
        -o Dir::State="$cache/apt" -o Dir::State::status="$cache/apt/status" -o Dir::Cache="$cache/apt" "$@"
}

test_needs() {
    arm64_packages || say "no arm64 packages of Debian's: tests with them will be skipped"
    arm64_rust || say "no standard library of Rust's for arm64: the test with it will be skipped"
    have sfdisk || { apt_offers fdisk && apt_install fdisk; } || say "no sfdisk: tests with its tables will be skipped"
    have sqlite3 || { apt_offers sqlite3 && apt_install sqlite3; } || say "no sqlite3: crashes of SQLite will be skipped"
    have cpio || { apt_offers cpio && apt_install cpio; } || say "no cpio: the comparison with Linux will be skipped"
    if ! have aarch64-linux-gnu-gcc; then
        { apt_offers gcc-aarch64-linux-gnu && apt_install gcc-aarch64-linux-gnu libc6-dev-arm64-cross; } ||
            say "no C compiler for arm64: tests with C programs will be skipped"
    fi
    case $(route) in
    rustup) debian_setup || say "Debian's toolchain is not to be had: that route will be skipped" ;;
    debian) rustup_setup || say "rustup's toolchain is not to be had: that route will be skipped" ;;
    esac
}

case $part in
build | run | check | test) ;;
*) die "\"$part\" is none of build, run, check, test" ;;
esac
need cc "gcc libc6-dev" "gcc (or: xcode-select --install)"
choose_route
case $part in
run | test)
    need qemu-system-aarch64 qemu-system-arm qemu
    need mke2fs e2fsprogs e2fsprogs
    need debugfs e2fsprogs e2fsprogs
    need e2fsck e2fsprogs e2fsprogs
    ;;
check) lint_tools ;;
esac
if [ "$part" = test ]; then
    test_needs
fi
