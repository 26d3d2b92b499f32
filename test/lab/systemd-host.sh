#!/usr/bin/env bash
# Boots systemd as the first process of a host: systemd-host.sh ROOT FOLDER NAME, within the host's network namespace. ROOT is
# only read (systemd-root.sh); what the host writes is in FOLDER/upper, so that the next boot finds it.
set -euo pipefail

if [ "${1:-}" != --inside ]; then
  # systemd wants a tree of cgroups (version 2) of its own.
  tree=$(findmnt -n -o TARGET -t cgroup2 | head -1)
  [ -n "$tree" ] || { echo "needs a mounted cgroup2 file system" >&2; exit 1; }
  cgroup=$tree/$3-systemd
  mkdir -p "$cgroup"
  echo $$ > "$cgroup/cgroup.procs"
  exec unshare --cgroup --mount --uts --ipc --pid --fork --kill-child "$0" --inside "$@"
fi

root=$2 folder=$3 name=$4
mount --make-rprivate /
mkdir -p "$folder"/{upper,work,mnt}
mount -t overlay overlay -o "lowerdir=$root,upperdir=$folder/upper,workdir=$folder/work" "$folder/mnt"
cd "$folder/mnt"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
# A host whose own tree has version 1, too, has an empty folder in this place.
mountpoint -q sys/fs/cgroup || mount -t tmpfs tmpfs sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mkdir -p dev/net dev/pts dev/shm
for device in null zero full random urandom tty net/tun; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
hostname "${name##*/}"
echo "${name##*/}" > etc/hostname
# By itself, systemd would take the id of the machine that all these hosts are on.
[ -s etc/machine-id ] || tr -d - < /proc/sys/kernel/random/uuid > etc/machine-id
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old
# As systemd does on a host that is no container: mounts reach the services that have a mount namespace of their own.
mount --make-rshared /
exec env -i container=weave-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /sbin/init --log-target=journal
