#!/usr/bin/env bash
# image.sh [TAG] [ARCH]: makes the image of the router without a registry: build/release/weave-VERSION-image-ARCH.tar, for
# `docker load`. If an engine answers (DOCKER_HOST, or that of this machine) and the architecture is its own, it gets the image, too.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(node -p 'require("./package.json").version')
tag=${1:-weave:$version} own=$(dpkg --print-architecture)
arch=${2:-$own}
[[ $tag == *:* ]] || tag=$tag:$version
archive=build/release/weave-$version-image-$arch.tar

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/build/rootfs.sh "$work/root" "$arch"
mkdir -p build/release
node scripts/build/image-archive.mjs "$work/root" "$arch" "$tag" "$archive"
printf '%s: %s MB, %s MB compressed\n' "$archive" $(($(stat -c %s "$archive") / 1000000)) $(($(gzip -1 -c "$archive" | wc -c) / 1000000))
[ "$arch" = "$own" ] || exit 0
if node scripts/build/load-image.mjs "$archive"; then
  echo "the engine has the image $tag"
else
  status=$?
  [ $status = 3 ] || exit $status
  echo "'docker load -i $archive' gives the image $tag to an engine"
fi
