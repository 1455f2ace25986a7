#!/bin/sh
# Makes the CD that the tests' Linux machine boots from, and boots it once, in the root that root.sh has made:
#   guest.sh FOLDER     makes FOLDER/guest: a profile of VirtualBox's with the machine `lin1`, at its snapshot `booted`
# The kernel is Debian's for cloud machines, everything else one static program. Booting takes a minute or two, because
# the machine's instructions are translated; from the snapshot it is there in a second.
set -eu
folder=$(cd "$1" && pwd) here=$(cd "$(dirname "$0")" && pwd)
fail() { echo "$1" >&2; exit 1; }

work=$folder/guest.work
rm -rf "$work" "$folder/guest"
mkdir -p "$work/packages" "$work/cd/isolinux" "$work/ram/bin" "$work/ram/modules" "$work/ram/proc" "$work/ram/sys" \
    "$work/ram/dev" "$work/ram/etc/acpi/PWRF" "$work/vm"
kernel() { apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1; }
# A machine may have forgotten what there is.
[ -n "$(kernel)" ] || apt-get -q update
kernel=$(kernel)
[ -n "$kernel" ] || fail "no kernel for cloud machines among this machine's packages"
(cd "$work/packages" && apt-get -q -o APT::Sandbox::User=root download "$kernel" isolinux syslinux-common)
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/unpacked"; done

# The kernel's file system in memory: modules in the order in which they need each other.
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net button evdev"
for module in $modules; do
    cp "$(find "$work/unpacked" -name "$module.ko" | head -n 1)" "$work/ram/modules/"
done
cp "$folder/root/usr/bin/busybox" "$work/ram/bin/busybox"
ln -s busybox "$work/ram/bin/sh"
sed "s/@MODULES@/$modules/" "$here/init" > "$work/ram/init"
cp "$here/udhcpc" "$here/power-button" "$work/ram/etc/"
ln -s /etc/power-button "$work/ram/etc/acpi/PWRF/00000080"
chmod 755 "$work/ram/init" "$work/ram/etc/udhcpc" "$work/ram/etc/power-button"
(cd "$work/ram" && find . | "$work/ram/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -9) > "$work/cd/isolinux/initrd.gz"

cp "$work"/unpacked/boot/vmlinuz-* "$work/cd/isolinux/vmlinuz"
cp "$work/unpacked/usr/lib/ISOLINUX/isolinux.bin" "$work/unpacked/usr/lib/syslinux/modules/bios/ldlinux.c32" \
    "$here/isolinux.cfg" "$work/cd/isolinux/"
xorriso -as mkisofs -quiet -o "$work/vm/linux.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
    -boot-load-size 4 -boot-info-table "$work/cd"

# In namespaces of its own, so that everything ends with it, and it with this script. The profile lies where the tests will have it, in /vm.
cp "$here/boot.sh" "$work/vm/boot.sh"
setpriv --pdeathsig KILL unshare -m -n -p -f --kill-child sh -c '
    set -e
    mount --bind "$2" "$1/vm"; mount --rbind /dev "$1/dev"; mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/tmp"; mount -t tmpfs tmpfs "$1/root"
    HOME=/root USER=root PATH=/usr/bin:/bin:/usr/sbin
    export HOME USER PATH
    exec "$(command -v chroot || echo /usr/sbin/chroot)" "$1" /bin/sh /vm/boot.sh' boot "$folder/root" "$work/vm"
mv "$work/vm" "$folder/guest"
rm -rf "$work"
