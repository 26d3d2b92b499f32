#!/bin/bash
# Makes this process the first one of a host whose whole file system is its own: root-host.sh FOLDER NAME ROOT SHARED... It is ROOT, and
# nothing that the host writes reaches it. The folders SHARED are there under their own paths. It must have been started in new
# mount, UTS and process namespaces, within the host's network namespace. "ready" is printed when all is set.
set -euo pipefail
folder=$1 name=$2 root=$3
shift 3

mount --make-rprivate /
mkdir -p "$folder/layer"
# In memory: an overlay cannot be written to another overlay, which the machine's own root may be.
mount -t tmpfs tmpfs "$folder/layer"
mkdir "$folder"/layer/{upper,work,root,docker}
new=$folder/layer/root
mount -t overlay overlay -o "lowerdir=$root,upperdir=$folder/layer/upper,workdir=$folder/layer/work" "$new"
mount -t proc proc "$new/proc"
# A /sys of this network namespace, with the machine's tree of cgroups on it.
mount -t sysfs sysfs "$new/sys"
mount --rbind /sys/fs/cgroup "$new/sys/fs/cgroup"
mount --rbind /dev "$new/dev"
mount -t tmpfs tmpfs "$new/run"
mount -t tmpfs tmpfs "$new/tmp"
# An engine's data cannot lie on an overlay.
mkdir -p "$new/run/lock" "$new/var/lib/docker"
mount --bind "$folder/layer/docker" "$new/var/lib/docker"
rm -rf "$new/etc/docker"
mkdir "$new/etc/docker"
# Explicitly, as for the other hosts with engines: docker-host.sh.
echo '{"tls": false}' >"$new/etc/docker/daemon.json"
for shared in "$@"; do
  mkdir -p "$new$shared"
  mount --bind "$shared" "$new$shared"
done
rm -rf "$new"/{etc,var/lib,var/log}/weave
hostname "$name"
printf '%s' "$name$folder" | md5sum | cut -c1-32 >"$new/etc/machine-id"
first=$(command -v tini-static)
cp "$first" "$new/run/lock/first"
# What the host writes, apart, for test/lab/footprint.ts: other programs may change ROOT meanwhile.
mkdir -p "$new"/run/disk/{written,root}
mount --bind "$folder/layer/upper" "$new/run/disk/written"
mount --bind -o ro "$root" "$new/run/disk/root"
cd "$new"
mkdir run/old
pivot_root . run/old
umount -l /run/old
rmdir /run/old
mount --make-rshared /
echo ready
# Not `sleep` alone: the first process must take in those whose parents have ended.
exec /run/lock/first -s -- sleep infinity
