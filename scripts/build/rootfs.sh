#!/usr/bin/env bash
# rootfs.sh DIR [ARCH]: makes the root file system in which the router runs as a container, in a new folder DIR. It has the
# application (stage.sh) in /usr/lib/weave, and programs and libraries of the Debian packages in packaging/image/packages.txt. Needs
# apt-get and dpkg-deb, and no root. What it fetches is kept in build/cache; without that folder it takes the packages of the day.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'rootfs.sh: %s\n' "$*" >&2; }
root=${1:-} arch=${2:-$(dpkg --print-architecture)}
[ -n "$root" ] || { say "no folder is named; usage: rootfs.sh DIR [amd64|arm64]"; exit 2; }
[ ! -e "$root" ] || { say "$root exists already"; exit 1; }

# An apt of its own, for another release or architecture than the machine's, which stays as it is.
fetch_packages() {
  local into=$1 work
  work=$(mktemp -d "$PWD/build/cache/packages.XXXXXX")
  mkdir -p "$work"/{state/lists/partial,cache/archives/partial,debs}
  : >"$work/state/status"
  local apt=(apt-get -qq -o Dir::Etc::sourcelist="$PWD/packaging/image/debian.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o Dir::State="$work/state" -o Dir::State::status="$work/state/status" -o Dir::Cache="$work/cache"
    -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Acquire::Languages=none)
  # As root apt fetches as a user who may not enter the folder.
  [ "$(id -u)" != 0 ] || apt+=(-o APT::Sandbox::User=root)
  "${apt[@]}" update
  (cd "$work/debs" && xargs "${apt[@]}" download)
  mv "$work/debs" "$into"
  rm -rf "$work"
}
lists=(packaging/image/packages.txt packaging/image/debian.list)
packages=$PWD/build/cache/packages-$arch-$(cat "${lists[@]}" | sha256sum | cut -c1-12)
mkdir -p build/cache
[ -d "$packages" ] || grep -v '^#' packaging/image/packages.txt | fetch_packages "$packages"

# Programs and libraries are all below /usr, as in a Debian of today.
mkdir -p "$root"/{dev,etc,host,proc,root,run,sys,tmp,weavedb} "$root"/usr/{bin,sbin,lib,lib64} "$root"/var/{lib/dpkg/status.d,log}
for folder in bin sbin lib lib64; do ln -s "usr/$folder" "$root/$folder"; done
# A link of the host's resolv.conf, seen at /host/etc, leads to /host/run or to /run.
ln -s /run "$root/var/run"
ln -s /run "$root/host/run"
# The peer's name is derived from it.
ln -s /host/etc/machine-id "$root/etc/machine-id"
chmod 1777 "$root/tmp"
chmod 700 "$root/root" "$root/weavedb"

all=$(mktemp -d build/cache/files.XXXXXX)
trap 'rm -rf "$all"' EXIT
cp -a "$root/." "$all/"
for package in "$packages"/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x --no-same-owner --keep-directory-symlink -C "$all"
  # Where scanners look for the packages of an image that has no package manager.
  dpkg-deb --field "$package" >"$root/var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)"
done
(
  cd "$all"
  shopt -s nullglob
  tar -c usr/bin/{busybox,dash,ip,nsenter} usr/sbin/{bridge,conntrack,nft,*tables*} usr/lib64/* usr/lib/ld-* usr/lib/*/{lib*.so*,ld-*,xtables} \
    etc/{iproute2,protocols,services,os-release} usr/lib/os-release usr/share/common-licenses usr/share/doc/*/copyright
) | tar -x -C "$root"
# The router's entry changes them where Docker's rules are in the old tables.
for name in iptables iptables-save iptables-restore; do ln -s xtables-nft-multi "$root/usr/sbin/$name"; done
# Enough to look around in a container that runs.
ln -s dash "$root/usr/bin/sh"
for applet in awk cat cp df env grep head hostname id kill ln ls mkdir mount mv ping ps readlink rm sed sleep sort stat tail top umount vi; do
  ln -s busybox "$root/usr/bin/$applet"
done

folder=$root/usr/lib/weave
scripts/build/stage.sh "$arch" "$folder"
install -m 755 packaging/image/entry.sh "$folder/entry"
sed "s/@VERSION@/$(node -p 'require("./package.json").version')/" packaging/image/cli.sh >"$folder/cli"
ln -s ../lib/weave/weave "$root/usr/bin/weave"
mv "$folder/share/doc/weave" "$root/usr/share/doc/"
