#!/bin/bash
# Makes this process the first one of a host with a Docker engine of its own: docker-host.sh FOLDER NAME. It must have been
# started in new mount, UTS and process namespaces, within the host's network namespace. "ready" is printed when all is set.
set -euo pipefail
folder=$1 name=$2

mount --make-rprivate /
# The other hosts' namespaces must be able to end.
umount -R /run/netns 2>/dev/null || true
mount -t proc proc /proc
mkdir -p "$folder"/{cgroup,docker,etc,etc.work,lib,lib.work,log,opt,opt.work}
# A /sys of this network namespace, with the machine's tree of cgroups on it.
mount --rbind /sys/fs/cgroup "$folder/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$folder/cgroup" /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$folder/etc,workdir=$folder/etc.work" /etc
mount -t overlay overlay -o "lowerdir=/opt,upperdir=$folder/opt,workdir=$folder/opt.work" /opt
mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$folder/lib,workdir=$folder/lib.work" /var/lib
mount --bind "$folder/log" /var/log
# An engine's data cannot lie on an overlay.
rm -rf /var/lib/docker /var/lib/weave
mkdir -p /var/lib/docker
mount --bind "$folder/docker" /var/lib/docker
mount --make-rshared /
# The engine and weave distinguish hosts by the machine id. TLS is off explicitly: otherwise the engine waits 15 s to warn of open TCP.
rm -rf /etc/docker
mkdir -p /etc/docker
echo '{"tls": false}' > /etc/docker/daemon.json
for i in 1 2 3; do echo "10.99.0.$i node0$i ubuntu-node0$i h$i"; done >> /etc/hosts
hostname "$name"
printf '%s' "$name$folder" | md5sum | cut -c1-32 > /etc/machine-id
echo ready
# Not `sleep` alone: the first process must take in those whose parents have ended.
exec tini-static -s -- sleep infinity
