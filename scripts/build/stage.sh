#!/usr/bin/env bash
# stage.sh ARCH FOLDER [BUNDLE]: makes FOLDER, the application with the Node that runs it, as archives, Debian packages and the
# image have it: the bundle (build/bundle) without other architectures' native modules, `node`, and `weave`, which runs one by
# the other. ARCH is amd64 or arm64.
set -euo pipefail
umask 022
cd "$(dirname "$0")/../.."

arch=$1 folder=$2 bundle=${3:-build/bundle}
case $arch in
  amd64) platform=linux-x64 binutils=x86-64-linux-gnu ;;
  arm64) platform=linux-arm64 binutils=aarch64-linux-gnu ;;
  *) echo "stage.sh: '$arch' is no architecture: amd64 or arm64" >&2; exit 2 ;;
esac
[ -f "$bundle/package.json" ] || { echo "stage.sh: there is no $bundle: run 'npm run build:bundle' first" >&2; exit 1; }
node=$(node scripts/build/node.mjs "$arch")

rm -rf "$folder"
mkdir -p "$folder"
cp -R "$bundle/." "$folder/"
find "$folder/native" -mindepth 1 -maxdepth 1 ! -name "$platform" -exec rm -rf {} +
cp "$node/bin/node" "$folder/node"
node scripts/build/add-node.mjs "$folder/share/doc/weave" "$arch" "$node"
cp packaging/weave.sh "$folder/weave"

# Symbols are a seventh of Node.
strip=${binutils/x86-64/x86_64}-strip
if command -v "$strip" >/dev/null; then
  "$strip" --strip-unneeded --enable-deterministic-archives "$folder/node" "$folder"/native/*/*.node
else
  echo "stage.sh: no $strip (Debian's binutils-$binutils): the programs for $arch keep their symbols, and are larger" >&2
fi

find "$folder" -type d -exec chmod 755 {} +
find "$folder" -type f -exec chmod 644 {} +
# Not bin/weave: it would look for a Node in the PATH.
chmod 755 "$folder/node" "$folder/weave" "$folder"/native/*/supervisor
