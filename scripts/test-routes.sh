#!/bin/sh
# Builds launcher, kernel and demo program with the toolchain route that was not chosen, in a target
# folder of its own, and boots the result once. Prints a result line as test programs do.
set -eu
. "$(dirname "$0")/lib.sh"

case $(route) in
rustup) other=debian ready=debian_ready ;;
*) other=rustup ready=rustup_ready ;;
esac
if ! $ready; then
    echo "the $other route is not to be had here: skipped"
    echo "test result: ok. 0 passed; 0 failed; 1 ignored"
    exit 0
fi

folder=$TARGET_DIR/route-$other
export QUILL_TOOLCHAIN=$other CARGO_TARGET_DIR=$folder
unset QUILL_ELF
if "${MAKE:-make}" --no-print-directory build user &&
    "$folder/release/quill" run --check --timeout 120 "$folder/$BARE_TARGET/release/demo" </dev/null; then
    echo "test route::$other ... ok"
    echo "test result: ok. 1 passed; 0 failed; 0 ignored"
else
    echo "test route::$other ... FAILED"
    echo "test result: FAILED. 0 passed; 1 failed; 0 ignored"
    exit 1
fi
