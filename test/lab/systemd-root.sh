#!/usr/bin/env bash
# systemd-root.sh FOLDER [PACKAGE...]: makes FOLDER, the root of a Debian 12 with systemd and the packages, unless it is there.
# It is only ever read: each host writes to a layer of its own (systemd-host.sh).
set -euo pipefail
folder=$1
shift
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
[ ! -e "$folder" ] || exit 0
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
packages=(systemd systemd-sysv dbus iproute2 nftables procps iputils-ping "$@")
debootstrap --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" bookworm "$work/root" >"$work/log" 2>&1 ||
  { tail -20 "$work/log" >&2; exit 1; }
rm -rf "$work"/root/var/cache/apt/archives/*.deb
# Each host gets an id of its own.
: > "$work/root/etc/machine-id"
# Hosts have a /dev of their own. A copy of this folder must not read devices.
rm -rf "$work"/root/dev/*
mv "$work/root" "$folder"
