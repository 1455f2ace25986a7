#!/bin/sh
# Makes a root with a real VirtualBox in it, for tests: packages of Debian's unpacked into a folder. None of their
# scripts run, there is no kernel module, and nothing of this machine is changed.
#   root.sh FOLDER LAUNCHER     makes FOLDER/root; LAUNCHER runs machines in it (see launcher.rs)
# VirtualBox is in Debian's unstable suite only. Where it cannot be had the last line of the output says why.
set -eu
folder=$1 launcher=$2
fail() { echo "$1" >&2; exit 1; }

keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keys" ] || fail "no keys of Debian's archive ($keys): is this Debian?"
# The mirror that this machine is set up with.
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | head -n 1; }
repository=$(mirror)
[ -n "$repository" ] || { apt-get update -q; repository=$(mirror); }
[ -n "$repository" ] || fail "no mirror of Debian's is set up"

apt=$folder/apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
: > "$apt/status"
echo "deb [signed-by=$keys] $repository sid main contrib" > "$apt/sources.list"
# An apt of its own: its own lists, cache and sources, and no package installed. A mirror may be a little behind.
own() {
    tool=$1; shift
    "$tool" -q -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::main=/dev/null \
        -o Dir::Etc::parts=/dev/null -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root \
        -o Debug::NoLocking=1 -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}
own apt-get update
# What its libraries stand on, by whatever names they have today; not what its windows do.
libraries=$(own apt-cache depends virtualbox | sed -n 's/^ *|\{0,1\}Depends: \(lib[^ ]*\)$/\1/p' |
    grep -v '^lib\(gl1\|gsoap\|sdl\|x11\|xt\)') || fail "the package virtualbox is not in Debian's unstable suite"
own apt-get install -y --no-install-recommends --download-only $libraries iproute2 busybox-static
(cd "$apt/cache/archives" && own apt-get download virtualbox)

root=$folder/root.new
rm -rf "$root"
mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/usr/sbin" "$root/tmp" "$root/proc" "$root/dev" \
    "$root/root" "$root/etc/vbox" "$root/vm"
for name in bin lib lib64 sbin; do ln -s "usr/$name" "$root/$name"; done
for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"
done
ln -sf busybox "$root/usr/bin/sh"
# In place of the program that insists on the kernel module.
install -m 755 "$launcher" "$root/usr/lib/virtualbox/VBoxHeadless"
rm -rf "$apt" "$folder/root"
mv "$root" "$folder/root"
