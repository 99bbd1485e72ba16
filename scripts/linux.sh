#!/bin/sh
# Runs commands under Debian's arm64 Linux, for comparison: the judge of the tests.
# usage: scripts/linux.sh DISK COMMANDS [QEMU ARGUMENT...]
#   DISK      an ext4 image; it becomes the root of each command (chroot) and is written to
#   COMMANDS  a file with a command a line, words split at spaces
#   ARGUMENT  more disks, say: Linux finds those of virtio-mmio last one first, so theirs come before
#             DISK's and DISK is /dev/vda
# For each command it prints "==== COMMAND", what the command printed, and "---- STATUS".
# Exit status 77: the kernel could not be had (setup.sh unpacks it under target/cache/arm64).
set -eu
. "$(dirname "$0")/lib.sh"
arm64=$TARGET_DIR/cache/arm64
kernel=$(ls "$arm64"/boot/vmlinuz-* 2>/dev/null | head -n 1)
[ -n "$kernel" ] && [ -e "$arm64/bin/busybox" ] && have cpio || exit 77
[ "$1" != --have ] || exit 0
disk=$1 commands=$2
shift 2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
initramfs=$work/initramfs
mkdir -p "$initramfs/bin" "$initramfs/mod" "$initramfs/mnt" "$initramfs/dev" "$initramfs/proc"
cp "$arm64/bin/busybox" "$initramfs/bin/"
ln -s busybox "$initramfs/bin/sh"
modules="virtio_ring virtio virtio_mmio virtio_blk"
for module in $modules; do
    find "$arm64/lib/modules" -name "$module.ko*" -exec cp {} "$initramfs/mod/" \;
done
cp "$commands" "$initramfs/commands"
# -opost: the console's newlines stay newlines.
cat >"$initramfs/init" <<INIT
#!/bin/sh
b=/bin/busybox
\$b mount -t proc proc /proc
\$b mount -t devtmpfs dev /dev
for m in $modules; do \$b insmod /mod/\$m.ko; done
while [ ! -b /dev/vda ]; do \$b sleep 0.05; done
\$b mount -t ext4 /dev/vda /mnt
[ ! -d /mnt/dev ] || \$b mount -t devtmpfs dev /mnt/dev
[ ! -d /mnt/proc ] || \$b mount -t proc proc /mnt/proc
[ ! -d /mnt/sys ] || \$b mount -t sysfs sysfs /mnt/sys
\$b stty -opost
while read -r line <&3; do
    echo "==== \$line"
    \$b chroot /mnt \$line
    echo "---- \$?"
done 3</commands
\$b umount /mnt/dev /mnt/proc /mnt/sys /mnt
\$b poweroff -f
INIT
chmod +x "$initramfs/init"
(cd "$initramfs" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initramfs.gz"

timeout "${TIMEOUT:-300}" qemu-system-aarch64 -M virt,gic-version=3 -cpu cortex-a72 -m 512M \
    -nodefaults -nographic -serial stdio -no-reboot -kernel "$kernel" -initrd "$work/initramfs.gz" \
    -append "console=ttyAMA0 quiet loglevel=0 panic=-1 mitigations=off kpti=0" \
    -global virtio-mmio.force-legacy=false "$@" \
    -drive "if=none,id=disk,format=raw,file=$disk" -device virtio-blk-device,drive=disk </dev/null
