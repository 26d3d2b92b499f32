#!/usr/bin/env bash
# deb.sh [--bundle FOLDER] [--out FOLDER] [--fast] [ARCH...]: writes weave_VERSION_ARCH.deb. Its parts are in packaging/deb.
# DEBFULLNAME and DEBEMAIL name the maintainer. Equal inputs and an equal SOURCE_DATE_EPOCH give equal bytes. --fast: hardly compressed.
set -euo pipefail
umask 022
cd "$(dirname "$0")/../.."

. scripts/build/package-options.sh
compression=-Zxz
[ -z "$fast" ] || compression="-Zgzip -z1"
command -v dpkg-deb >/dev/null || { echo "deb.sh: there is no dpkg-deb: Debian's and Fedora's package dpkg has it" >&2; exit 1; }

SOURCE_DATE_EPOCH=$(node scripts/build/source-date.mjs)
export SOURCE_DATE_EPOCH
maintainer="${DEBFULLNAME:-weave maintainers} <${DEBEMAIL:-weave@weave.invalid}>"
# A pre-release sorts before its release: 0.2.0-rc.1 is 0.2.0~rc.1 to Debian.
version=$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).version.replace("-", "~")' "$bundle/package.json")
work=$(mktemp -d "${TMPDIR:-/tmp}/weave-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The application's files to where Debian has such files. zsh's own place is for zsh's own package.
lay_out() {
  local root=$1 app=$1/usr/lib/weave share=$1/usr/share
  move() { mkdir -p "$(dirname "$2")"; mv "$1" "$2"; }
  move "$app/share/man" "$share/man"
  move "$app/share/bash-completion" "$share/bash-completion"
  move "$app/share/zsh/site-functions" "$share/zsh/vendor-completions"
  move "$app/share/fish" "$share/fish"
  move "$app/share/doc" "$share/doc"
  rm -rf "$app/share/zsh"
  install -D -m 644 "$app/share/systemd/weave.service" "$root/usr/lib/systemd/system/weave.service"
  # A password can be in it.
  install -D -m 600 "$app/share/systemd/weave.env" "$root/etc/weave/weave.env"
  mkdir -p "$root/usr/bin"
  ln -s ../lib/weave/weave "$root/usr/bin/weave"
  # The licence is among Debian's common ones, and the copyright file refers to it.
  rm -f "$share/doc/weave/LICENSE"
  install -m 644 packaging/deb/copyright "$share/doc/weave/copyright"
  printf 'weave (%s) stable; urgency=medium\n\n  * CHANGELOG.md has the changes.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$share/doc/weave/changelog.gz"
  find "$share/man" -type f -exec gzip -9n {} +
  install -D -m 644 packaging/deb/lintian-overrides "$share/lintian/overrides/weave"
}

# The control files, which name what the folder has.
describe() {
  local root=$1 arch=$2 script
  mkdir "$root/DEBIAN"
  sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@MAINTAINER@/$maintainer/; s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f 1)/" \
    packaging/deb/control >"$root/DEBIAN/control"
  (cd "$root" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
  echo /etc/weave/weave.env >"$root/DEBIAN/conffiles"
  for script in preinst postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$root/DEBIAN/$script"; done
}

mkdir -p "$out"
for arch in "$@"; do
  root=$work/$arch
  scripts/build/stage.sh "$arch" "$root/usr/lib/weave" "$bundle"
  lay_out "$root"
  find "$root" -type d -exec chmod 755 {} +
  describe "$root" "$arch"
  # Members are clamped to SOURCE_DATE_EPOCH, and older times must not differ.
  find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group $compression --build "$root" "$out/weave_${version}_$arch.deb" >/dev/null
  rm -rf "$root"
done
