#!/bin/sh
# Entry of the image. `router` becomes the router, with the options that `weave launch --image` has put into the folder
# WEAVE_STATE_DIR; `plugin COMMAND...` is the router's of a managed plugin. `cli` prints a `weave` for hosts without Node.
# Anything else is a command of weave.
set -eu
folder=/usr/lib/weave

case ${1:-} in
  router) shift && set -- launch --supervised container "$@" ;;
  plugin) shift ;;
  cli) exec cat "$folder/cli" ;;
  *) exec "$folder/weave" "$@" ;;
esac

# Engines mount it read-only into a container that is not privileged.
mount -o remount,rw /proc/sys 2>/dev/null || true

# The host's own files, with their later changes. The engine mounts copies, made at each start of the container.
for name in resolv.conf hosts; do
  [ -r "/host/etc/$name" ] || continue
  umount "/etc/$name" 2>/dev/null || true
  ln -sf "/host/etc/$name" "/etc/$name"
done

# A kernel without nf_tables has iptables alone.
nft list tables >/dev/null 2>&1 || rm -f /usr/sbin/nft
# Docker's rules are in the tables of nf_tables or in those of legacy iptables, and only rules beside them can accept packets that
# they drop. Legacy tables are read only where the kernel has them: a read makes them.
kind=nft
has_docker() { "iptables-$1" -S 2>/dev/null | grep -q DOCKER; }
if grep -qx filter /proc/net/ip_tables_names 2>/dev/null && ! has_docker nft && has_docker legacy; then kind=legacy; fi
for name in iptables iptables-save iptables-restore; do ln -sf "xtables-$kind-multi" "/usr/sbin/$name"; done

exec "$folder/weave" "$@"
