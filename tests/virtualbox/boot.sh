#!/bin/sh
# Within the root: makes the machine, boots it, takes the live snapshot, and ends it.
set -eu
export VBOX_USER_HOME=/vm
manage() { /usr/lib/virtualbox/VBoxManage -q "$@"; }
ip link set lo up
manage createvm --name lin1 --ostype Linux_64 --register --basefolder /vm/machines
manage modifyvm lin1 --memory 256 --cpus 1 --graphicscontroller vboxvga --vram 8 --audio-enabled off --usbohci off \
    --nic1 nat --nictype1 virtio --macaddress1 0800270A0B0C --nat-localhostreachable1 on \
    --vm-execution-engine recompiler --paravirtprovider kvm --uart1 0x3f8 4 --uartmode1 file /tmp/serial.log
manage storagectl lin1 --name ide --add ide
manage storageattach lin1 --storagectl ide --port 0 --device 0 --type dvddrive --medium /vm/linux.iso
manage startvm lin1 --type headless
left=900
until busybox grep -q '^READY' /tmp/serial.log; do
    left=$((left - 1))
    [ $left -gt 0 ] || { busybox tail -n 30 /tmp/serial.log; exit 1; }
    busybox sleep 1
done
busybox grep '^READY' /tmp/serial.log
manage snapshot lin1 take booted --live
manage controlvm lin1 poweroff
busybox rm -rf /vm/machines/lin1/Logs
# VirtualBox's service writes its books when nobody uses it any more.
while busybox pidof VBoxSVC > /dev/null; do busybox sleep 1; done
