#!/usr/bin/env bash
# scripts/guest.sh COMMAND...: runs a command on another kernel, Debian's, in an emulated machine, for what the kernel of
# this one lacks: netem's delay and reordering, VLAN interfaces, WireGuard. The guest has this machine's file system, with
# a layer of memory over it: nothing that it writes is kept. Ends as the command did.
#
# Emulated in software: some ten times slower than the machine itself. Needs root, and Debian's packages on amd64.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || { echo "guest.sh: which command?" >&2; exit 2; }
MEMORY=${GUEST_MEMORY:-3G}
SECONDS_AT_MOST=${GUEST_SECONDS:-1500}
PATH="$PATH:/usr/sbin:/sbin"

need() {
  command -v "$1" >/dev/null || [ -x "$1" ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2
}
need qemu-system-x86_64 qemu-system-x86
need busybox busybox-static
need cpio cpio
need depmod kmod
# Part of qemu-system-common once, a package of its own since.
virtiofsd=$(ls /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd 2>/dev/null | head -1) || true
if [ -z "$virtiofsd" ]; then
  need /usr/libexec/virtiofsd virtiofsd
  virtiofsd=/usr/libexec/virtiofsd
fi

# The kernel, once: what the package linux-image-cloud-amd64 stands for now.
cache=$PWD/node_modules/.cache/guest
if [ ! -e "$cache/ready" ]; then
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  [ -n "$package" ] || { echo "guest.sh: no package linux-image-cloud-amd64 here; the guest runs Debian's kernel" >&2; exit 1; }
  rm -rf "$cache"
  mkdir -p "$cache"
  (cd "$cache" && apt-get download -qq -o APT::Sandbox::User=root "$package" >&2 && dpkg-deb -x "$package"_*.deb . && rm ./*.deb)
  depmod -b "$cache" "$(ls "$cache/lib/modules")"
  touch "$cache/ready"
fi
version=$(ls "$cache/lib/modules")

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

# What the kernel needs to find its file system.
mkdir -p "$work"/root/{bin,dev,proc,sys,lower,layer,modules}
cp "$(command -v busybox)" "$work/root/bin/busybox"
load=
for module in virtio_pci virtiofs overlay; do
  while read -r _ file _; do
    cp "$file" "$work/root/modules/"
    load="$load /modules/$(basename "$file")"
  done < <(modprobe -d "$cache" -S "$version" --show-depends "$module" | grep ^insmod)
done
printf -v command '%q ' "$@"
cat >"$work/root/init" <<INIT
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $load; do insmod \$module 2>/dev/null; done
mount -t virtiofs -o ro host /lower || poweroff -f
mount -t tmpfs -o size=80% layer /layer
mkdir -p /layer/upper /layer/work /root
mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work overlay /root
for kind in proc sys dev; do mount --bind /\$kind /root/\$kind; done
mkdir -p /root/lib/modules /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs shm /root/dev/shm
mount -t tmpfs run /root/run
mount -t cgroup2 cgroup /root/sys/fs/cgroup
mount --bind "/root$cache/lib/modules" /root/lib/modules
cat >/root/run/command <<'RUN'
#!/bin/bash
export HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
cd "$PWD"
ip link set lo up
for module in tun bridge br_netfilter; do modprobe -q \$module; done
$command
echo "guest: ended with \$?"
sync
echo o >/proc/sysrq-trigger
sleep 10
RUN
chmod +x /root/run/command
exec switch_root /root /run/command
INIT
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet | gzip -1 >"$work/initramfs")

case $virtiofsd in
  /usr/libexec/*) "$virtiofsd" --socket-path "$work/fs" --shared-dir / --sandbox none --cache always --log-level error 2>"$work/files.log" & ;;
  *) "$virtiofsd" --socket-path="$work/fs" -o source=/ -o cache=always -o sandbox=chroot -o log_level=err 2>"$work/files.log" & ;;
esac
for _ in $(seq 50); do [ -S "$work/fs" ] && break; sleep 0.1; done

timeout "$SECONDS_AT_MOST" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m "$MEMORY" \
  -object memory-backend-memfd,id=memory,size="$MEMORY",share=on -numa node,memdev=memory \
  -chardev socket,id=fs,path="$work/fs" -device vhost-user-fs-pci,chardev=fs,tag=host \
  -kernel "$cache"/boot/vmlinuz-* -initrd "$work/initramfs" -append "console=ttyS0 loglevel=0 panic=-1" \
  -nodefaults -no-reboot -display none -serial stdio </dev/null | sed -u 's/\r$//' | tee "$work/output" || true
status=$(sed -n 's/^guest: ended with //p' "$work/output" | tail -1)
[ -n "$status" ] || { echo "guest.sh: the guest ended without a status, or was stopped after $SECONDS_AT_MOST s" >&2; cat "$work/files.log" >&2; }
exit "${status:-1}"
