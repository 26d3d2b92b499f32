#!/usr/bin/env bash
# debian13.sh [COMMAND...]: runs a command, by default the README's two, in a copy of this tree on a Debian 13 that was made a
# moment ago and has Debian's own Node and npm, nothing else. Needs root and some 3 GB below TMPDIR; leaves nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

[ "$(id -u)" = 0 ] || { echo "debian13.sh: needs root, to make the system and to enter it" >&2; exit 1; }
command -v debootstrap >/dev/null || {
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >&2
}
[ $# -gt 0 ] || set -- bash -c 'npm run demo && npm test'

# Not on /tmp, which may be memory.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/weave-debian13-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
debootstrap --variant=minbase --include=ca-certificates trixie "$root" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
cp /etc/resolv.conf /etc/hosts "$root/etc/"
# The new system must trust the same certificates as this one, for example those of a company's registry proxy.
certificates=/etc/ssl/certs/ca-certificates.crt
cp "$certificates" "$root$certificates"
mkdir "$root/weave"
git ls-files -z --cached --others --exclude-standard | tar -c --null --verbatim-files-from --ignore-failed-read -T - | tar -x -C "$root/weave"

# The new system becomes the root of a mount namespace, not a mere chroot: the tests' hosts enter each other's mount namespaces,
# and containers pivot into roots of their own.
cat >"$work/enter" <<'ENTER'
set -euo pipefail
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
shift
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir .old
pivot_root . .old
exec chroot . /bin/sh /enter "$@"
ENTER
cat >"$root/enter" <<'ENTER'
set -eu
umount -l /.old
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm; } >/log 2>&1 || { cat /log >&2; exit 1; }
cd /weave
exec env -i ${CI:+CI="$CI"} ${TEST_REPORTER:+TEST_REPORTER="$TEST_REPORTER"} \
  NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt HOME=/root TERM=dumb LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
ENTER
status=0
unshare --mount --pid --fork --kill-child bash "$work/enter" "$root" "$@" || status=$?
exit "$status"
