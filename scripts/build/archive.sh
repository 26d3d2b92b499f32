#!/usr/bin/env bash
# archive.sh [--bundle FOLDER] [--out FOLDER] [--fast] [ARCH...]: writes weave-VERSION-linux-ARCH.tar.gz, which needs nothing on a host but
# glibc and the programs that weave calls, and install.sh, which installs it. Equal inputs give equal bytes. --fast: hardly compressed.
set -euo pipefail
umask 022
cd "$(dirname "$0")/../.."

. scripts/build/package-options.sh
level=9
[ -z "$fast" ] || level=1

work=$(mktemp -d "${TMPDIR:-/tmp}/weave-archive.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
[ -f "$bundle/package.json" ] || { echo "archive.sh: there is no $bundle: run 'npm run build:bundle' first" >&2; exit 1; }
for arch in "$@"; do
  version=$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).version' "$bundle/package.json")
  name=weave-$version-linux-$arch
  scripts/build/stage.sh "$arch" "$work/$name" "$bundle"
  install -m 755 packaging/install.sh "$work/$name/install.sh"
  # No order, time, owner or mode of this machine; gzip -n: no time and no name in its head.
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -C "$work" -cf - "$name" | gzip -n -$level >"$work/archive"
  mv "$work/archive" "$out/$name.tar.gz"
  chmod 644 "$out/$name.tar.gz"
  rm -rf "${work:?}/$name"
done
install -m 755 packaging/install.sh "$out/install.sh"
