#!/usr/bin/env bash
# plugin.sh [NAME [ARCH]]: makes the managed plugin of Docker (V2) without a registry: build/release/weave-VERSION-plugin-ARCH.tar,
# with config.json and the root file system that images have. With a NAME it is created under that name in the engine that the
# program `docker` uses (DOCKER_HOST), if one answers.
set -euo pipefail
cd "$(dirname "$0")/../.."

name=${1:-} own=$(dpkg --print-architecture)
arch=${2:-$own}
version=$(node -p 'require("./package.json").version')
archive=$PWD/build/release/weave-$version-plugin-$arch.tar
seconds=$(node scripts/build/source-date.mjs)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/build/rootfs.sh "$work/rootfs" "$arch"
cp packaging/plugin/config.json "$work/"
# In images a link to /run. A plugin has a /run of its own, with its socket, and the host's folders in /host.
rm -rf "$work/rootfs/host"
mkdir -p "$work/rootfs/host"/{run,var/lib} "$work/rootfs/run/docker/plugins" build/release
# Names of network namespaces for `weave attach`.
ln -s /host/run/netns "$work/rootfs/run/netns"
tar -C "$work" --sort=name --mtime="@$seconds" --owner=0 --group=0 --numeric-owner -cf "$archive" config.json rootfs
printf '%s: %s MB\n' "${archive#"$PWD/"}" $(($(stat -c %s "$archive") / 1000000))

[ -n "$name" ] || exit 0
if ! docker version >/dev/null 2>&1; then
  echo "no engine answers; where one does: 'mkdir plugin && tar -C plugin -xf $(basename "$archive") && docker plugin create $name plugin'"
  exit 0
fi
docker plugin create "$name" "$work"
