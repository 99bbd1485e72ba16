#!/bin/sh
# Runs cargo on the route that was set up (see lib.sh), for the host and for the bare target alike.
# usage: scripts/cargo.sh ARGUMENTS OF CARGO...
set -eu
. "$(dirname "$0")/lib.sh"

route=$(route)
case $route in
rustup)
    exec rustup run "$(pinned_version)" cargo "$@"
    ;;
debian)
    # A distribution's compiler is a stable one; building core needs what stable does not offer.
    # The variable is set for host builds too: it is part of what cargo takes a build to depend on.
    export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc PATH="/usr/bin:$PATH"
    # rustup's cargo, had it been called, would tell its children which toolchain to use.
    unset RUSTUP_TOOLCHAIN CARGO
    # The compiler's own core is what it warns of.
    export CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY=never
    # Debian ships no rust-lld, the target's own linker.
    export CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_LINKER=ld.lld
    case " $* " in
    *" $BARE_TARGET "*)
        exec /usr/bin/cargo -Zbuild-std=core,alloc,compiler_builtins \
            -Zbuild-std-features=compiler-builtins-mem "$@"
        ;;
    esac
    exec /usr/bin/cargo "$@"
    ;;
*)
    die "QUILL_TOOLCHAIN is \"$route\"; it can be rustup or debian"
    ;;
esac
