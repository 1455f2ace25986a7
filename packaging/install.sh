#!/bin/sh
# Installs the guest agent of Vocable from the folder that this file is in, and starts it. May be run again: what is
# there already is left alone.
#   install.sh           into this machine
#   install.sh ROOT      into the root of another one, mounted there; nothing is started
# Needs no more than a POSIX shell and busybox. In the folder: vocable-guest, and if wanted token, guest.toml, seed.toml;
# beside them the descriptions of the service for the inits it knows.
set -eu
from=$(cd "$(dirname "$0")" && pwd)
root=${1:-}
changed=no

# place MODE FILE DESTINATION: the old file or the new one, never a half, and never readable by more than MODE says.
place() {
    [ -f "$from/$2" ] || return 0
    to=$root$3
    if [ -f "$to" ] && cmp -s "$from/$2" "$to"; then return 0; fi
    mkdir -p "${to%/*}"
    rm -f "$to.new"
    (umask 077 && cp "$from/$2" "$to.new")
    chmod "$1" "$to.new"
    mv -f "$to.new" "$to"
    if command -v restorecon >/dev/null 2>&1; then restorecon "$to" || :; fi
    changed=yes
}

# Whether things are to be started: not in somebody else's root.
here() { [ -z "$root" ]; }

service_of_systemd() {
    place 644 vocable-guest.service /etc/systemd/system/vocable-guest.service
    # Not by systemctl, which may not know that root.
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -sf ../vocable-guest.service "$root/etc/systemd/system/multi-user.target.wants/vocable-guest.service"
    here || return 0
    systemctl daemon-reload
    # Not waiting: this may be run by a service that others wait for.
    if [ "$changed" = yes ]; then set -- restart; else set -- start; fi
    systemctl --no-block "$1" vocable-guest.service
}

service_of_openrc() {
    place 755 vocable-guest.openrc /etc/init.d/vocable-guest
    mkdir -p "$root/etc/runlevels/default"
    ln -sf /etc/init.d/vocable-guest "$root/etc/runlevels/default/vocable-guest"
    here || return 0
    if [ "$changed" = yes ]; then set -- restart; else set -- start; fi
    rc-service vocable-guest "$1"
}

service_of_system_v() {
    place 755 vocable-guest.init /etc/init.d/vocable-guest
    for level in 2 3 4 5; do
        for folder in "$root/etc/rc$level.d" "$root/etc/rc.d/rc$level.d"; do
            if [ -d "$folder" ] && [ ! -h "$folder" ]; then ln -sf /etc/init.d/vocable-guest "$folder/S90vocable-guest"; fi
        done
    done
    here || return 0
    if [ "$changed" = yes ]; then set -- restart; else set -- start; fi
    /etc/init.d/vocable-guest "$1"
}

service_of_busybox() {
    if ! grep -q vocable-guest "$root/etc/inittab"; then
        cat "$from/inittab" >>"$root/etc/inittab"
    fi
    here || return 0
    kill -HUP 1
}

place 755 vocable-guest /usr/local/bin/vocable-guest
place 600 token /etc/vocable/token
place 644 guest.toml /etc/vocable/guest.toml
place 644 seed.toml /etc/vocable/guest.d/seed.toml

# Another root is not running: there the files say which init it has.
if [ -d "$root/run/systemd/system" ] || { ! here && [ -e "$root/lib/systemd/systemd" ]; }; then
    service_of_systemd
elif [ -e "$root/sbin/openrc-run" ]; then
    service_of_openrc
elif [ -f "$root/etc/inittab" ] && grep -q '^[^#:]*::' "$root/etc/inittab"; then
    service_of_busybox
elif [ -d "$root/etc/init.d" ]; then
    service_of_system_v
else
    echo "vocable-guest is installed, but no init known here starts it: start /usr/local/bin/vocable-guest" >&2
    exit 1
fi
