#!/bin/sh
# Installs weave with its own Node, upgrades it, repairs it, or removes it. To be run by root; `install.sh --help` lists the
# options. The whole program is below: read it first, from top to bottom.
#
# Its files, with the prefix /usr/local:
#   /usr/local/lib/weave-VERSION.XXXXXX/    the application; `manifest` in it lists all other files
#   /usr/local/lib/weave                    leads to the folder above: this link is what an upgrade switches
#   /usr/local/bin/weave, share/man/…, share/bash-completion/…, share/zsh/…, share/fish/…    lead into it
#   /usr/local/lib/systemd/system/weave.service, /etc/weave/weave.env    where systemd runs
set -eu
umask 022
PATH=$PATH:/usr/sbin:/sbin

OLDEST_KERNEL=4.18
# The native module of the database needs it; Node alone would be content with 2.28.
OLDEST_GLIBC=2.34

say() { printf '%s\n' "$*"; }
warn() { printf 'install.sh: %s\n' "$*" >&2; }
# fail REASON [NEXT STEP]
fail() {
  warn "$1"
  [ $# -lt 2 ] || printf '%s\n' "$2" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

usage() {
  cat <<'END'
Usage: install.sh [OPTION]...
Installs weave from a release, or upgrades it. Running it again repairs the installation.

  --from FOLDER|FILE|URL  the release: a folder with archives, an archive (weave-VERSION-linux-ARCH.tar.gz) or what it contains,
                          or the address of either; default: the folder of this program
  --prefix FOLDER         where to install (default /usr/local)
  --no-service            without the unit for systemd
  --restart               restart a running router afterwards, so that it is of the new version
  --allow-downgrade       install an older version than the one that is there
  --uninstall             remove weave; its state and configuration stay
  --purge                 with --uninstall: remove those, too
END
}

# --- options ------------------------------------------------------------------------------------------------------------------

prefix=/usr/local from='' service=yes restart=no downgrade=no action=install purge=no
while [ $# -gt 0 ]; do
  case $1 in
    --from=* | --prefix=*) option=${1%%=*} value=${1#*=}; shift; set -- "$option" "$value" "$@" ;;
  esac
  case $1 in
    --from | --prefix)
      [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value" "'install.sh --help' lists the options."
      if [ "$1" = --from ]; then from=$2; else prefix=$2; fi
      shift ;;
    --no-service) service=no ;;
    --restart) restart=yes ;;
    --allow-downgrade) downgrade=yes ;;
    --uninstall) action=uninstall ;;
    --purge) purge=yes ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown option '$1'" "'install.sh --help' lists the options." ;;
  esac
  shift
done
case $prefix in
  /*) prefix=${prefix%/} ;;
  *) fail "--prefix '$prefix' is no absolute path" ;;
esac
case $prefix in
  '' | /usr) fail "the prefix '$prefix/' belongs to the packages of the system" "Choose /usr/local, or a folder below /opt." ;;
  *[!A-Za-z0-9/._+-]*) fail "--prefix '$prefix' has a character other than letters, digits, / . _ + -" ;;
esac
[ "$purge" = no ] || [ "$action" = uninstall ] || fail "--purge is for --uninstall"

lib=$prefix/lib
current=$lib/weave
case $prefix in
  /usr/local) units=/usr/local/lib/systemd/system ;;
  *) units=/etc/systemd/system ;;
esac
environment=/etc/weave/weave.env

# --- the present installation -------------------------------------------------------------------------------------------------

# The version in an application's folder, from its package.json; nothing where there is none.
version_in() { sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "$1/package.json" 2>/dev/null | head -n 1; }

# older A B: whether version A is older than B. A pre-release (0.2.0-rc.1) is older than its release: '~' sorts before the end.
older() {
  [ "$1" != "$2" ] &&
    [ "$(printf '%s\n%s\n' "$1" "$2" | sed 's/-/~/' | sort -V | head -n 1)" = "$(printf '%s' "$1" | sed 's/-/~/')" ]
}

# Whether a program runs whose file is in the folder: an older router, until it is restarted.
in_use() {
  for exe in /proc/[0-9]*/exe; do
    case $(readlink "$exe" 2>/dev/null) in "$1"/*) return 0 ;; esac
  done
  return 1
}

# Whether the process runs that /run/weave/NAME.pid names.
process_runs() {
  pid=$(sed -n 's/.*"pid" *: *\([0-9]*\).*/\1/p' "/run/weave/$1.pid" 2>/dev/null)
  [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null
}
router_runs() { process_runs router; }

# Also true between two attempts to start a router.
kept_running() { router_runs || process_runs supervisor || unit_is_on; }

unit_is_on() {
  systemd_runs || return 1
  case $(systemctl show -p ActiveState weave.service 2>/dev/null) in '' | *=inactive | *=failed) return 1 ;; esac
}

# A router in a container is of the version of its image.
router_in_container() { grep -qs '^container' /run/weave/supervision; }

systemd_runs() { [ -d /run/systemd/system ] && have systemctl; }

# Folders that this program made for applications: the one in use, replaced ones, and those of interrupted runs.
application_folders() {
  for folder in "$lib"/weave-*.??????; do
    if [ -d "$folder" ] && [ -e "$folder/.install.sh" ]; then printf '%s\n' "$folder"; fi
  done
}

# Refuses a second installation of another kind: which of the two runs would depend on the order of the PATH.
check_other_kinds() {
  if have dpkg-query && dpkg-query -W -f '${Status}\n' weave 2>/dev/null | grep -Eq ' (installed|unpacked|half-.*|triggers-.*)$'; then
    fail "weave is installed as a Debian package" "'apt-get remove weave' removes it, and keeps its state; then run this again."
  fi
  for modules in /usr/local/lib/node_modules /usr/lib/node_modules "$prefix/lib/node_modules" "$(found_by_npm)"; do
    [ ! -e "$modules/weave/package.json" ] ||
      fail "weave is installed by npm, in $modules/weave" "'npm uninstall -g weave' removes it, and keeps its state; then run this again."
  done
  other=$(readlink -f "$(command -v weave 2>/dev/null)" 2>/dev/null || true)
  [ -e "$other" ] || [ ! -e /usr/local/lib/weave/manifest ] || other=/usr/local/lib/weave/weave
  case $other in
    '' | "$lib"/weave-*.??????/weave) ;;
    */lib/weave-*.??????/weave | */lib/weave/weave)
      fail "weave is installed below ${other%/lib/weave*}" "Upgrade it by --prefix ${other%/lib/weave*}, or remove it by --prefix ${other%/lib/weave*} --uninstall." ;;
    *) fail "$other is a command 'weave' of something else" "Remove it, or move it out of the PATH; then run this again." ;;
  esac
  if [ -e "$prefix/bin/weave" ] || [ -L "$prefix/bin/weave" ]; then
    [ "$(readlink "$prefix/bin/weave")" = ../lib/weave/weave ] ||
      fail "$prefix/bin/weave is of something else" "Remove it, or move it away; then run this again."
  fi
  [ ! -e "$current" ] || [ -L "$current" ] || fail "$current is of something else" "Remove it, or move it away; then run this again."
}

# Where the command `weave` of the PATH comes from, if that is a folder of npm's.
found_by_npm() {
  case $(readlink -f "$(command -v weave 2>/dev/null)" 2>/dev/null) in
    */node_modules/weave/*) readlink -f "$(command -v weave)" | sed 's|/node_modules/weave/.*|/node_modules|' ;;
  esac
}

# --- requirements -------------------------------------------------------------------------------------------------------------

check_host() {
  [ "$(uname -s)" = Linux ] || fail "weave runs on Linux, and this is $(uname -s)"
  kernel=$(uname -r)
  ! older "${kernel%%-*}" "$OLDEST_KERNEL" || fail "Linux $kernel is too old: weave needs $OLDEST_KERNEL or later"
  [ -c /dev/net/tun ] ||
    fail "there is no /dev/net/tun, by which weave reads and writes frames" "'modprobe tun' makes it; in a virtual server the provider must allow it."
  case $(uname -m) in
    x86_64 | amd64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) fail "there is no weave for $(uname -m): it runs on x86_64 and on aarch64" ;;
  esac
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')
  [ -n "$glibc" ] || glibc=$(ldd --version 2>/dev/null | sed -n '1s/.*GLIBC.* \([0-9.]*\)$/\1/p;1s/^ldd (GNU libc) //p' | head -n 1)
  if [ -z "$glibc" ]; then
    fail "this system has no glibc: its C library is musl or another one, for which there is no build of weave" "Use a distribution with glibc $OLDEST_GLIBC or later: Debian 12, Ubuntu 22.04, Fedora 36, RHEL 9."
  fi
  ! older "$glibc" "$OLDEST_GLIBC" ||
    fail "glibc $glibc is too old: weave needs $OLDEST_GLIBC or later" "Debian 12, Ubuntu 22.04, Fedora 36, RHEL 9 and later releases have it."
  for tool in tar gzip readlink mktemp sort flock ip nsenter; do
    have "$tool" || fail "there is no program '$tool'" "$(package_of "$tool") has it."
  done
  if ! have nft && ! have iptables; then
    warn "there is neither nft nor iptables: weave runs, without the rules that keep containers from its ports"
  fi
}

package_of() {
  case $1 in
    ip) say "The package iproute2 (on Fedora and RHEL: iproute)" ;;
    flock | nsenter) say "The package util-linux" ;;
    sha256sum | readlink | mktemp | sort) say "The package coreutils" ;;
    *) say "The package $1" ;;
  esac
}

# Two runs at the same time would remove each other's folders. The lock is on the folder itself, and ends with this process.
lock() {
  made=$(printf '%s/\n' "$lib" | missing_folders)
  mkdir -p "$lib"
  exec 9<"$lib"
  flock -n 9 || fail "another install.sh is at work in $prefix" "Wait for its end, and run this again."
}

# check_disk NEEDED_KB: the folder must hold the new application beside the old one.
check_disk() {
  free=$(df -Pk "$lib" | awk 'NR == 2 { print $4 }')
  [ "$free" -ge "$1" ] ||
    fail "$lib has $((free / 1024)) MB free, and weave needs $(($1 / 1024 + 1)) MB" "Nothing was changed. Make room, or choose another --prefix."
}

# --- the release --------------------------------------------------------------------------------------------------------------

# fetch URL FILE: an https URL may lead to others of https alone.
fetch() {
  protocols='=https'
  case $1 in
    http://*)
      protocols='=http,https'
      warn "$1 is not encrypted: on the way, others can replace both archive and checksums" ;;
  esac
  if have curl; then
    curl -fsSL --retry 2 --proto "$protocols" -o "$2" "$1" || fail "cannot fetch $1" "Nothing was changed."
  elif have wget; then
    wget -q -S -O "$2" "$1" 2>"$work/headers" || fail "cannot fetch $1" "Nothing was changed."
    # wget has no such option.
    [ "$protocols" != '=https' ] || ! grep -i '^ *location: *[a-z]*:' "$work/headers" | grep -qvi 'location: *https:' ||
      fail "cannot fetch $1: it leads to an address that is not encrypted" "Nothing was changed."
  else
    fail "there is neither curl nor wget" "Install one of them, or fetch the archive elsewhere and pass it by --from FILE."
  fi
}

# verify ARCHIVE SUMS: compares the archive with its line in SHA256SUMS.
verify() {
  have sha256sum || fail "there is no program 'sha256sum'" "$(package_of sha256sum) has it."
  name=${1##*/}
  expected=$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1; exit }' "$2")
  [ -n "$expected" ] || fail "$2 has no checksum of $name" "Nothing was changed."
  actual=$(sha256sum "$1" | cut -d ' ' -f 1)
  [ "$actual" = "$expected" ] ||
    fail "$name is damaged, or is not the released file: its SHA-256 is $actual, and SHA256SUMS has $expected" "Nothing was changed. Fetch it again."
}

# The newest archive for this architecture among the names on standard input.
newest() { grep -E "^weave-[0-9][^/]*-linux-$arch\.tar\.gz$" | sed 's/-\(rc\|beta\|alpha\)/~\1/' | sort -V | sed 's/~/-/' | tail -n 1; }

# Sets `source` to a folder (an application) or a file (an archive) of this host.
find_release() {
  [ -n "$from" ] || from=$(dirname "$(readlink -f "$0")")
  case $from in
    http://* | https://*)
      case $from in
        *.tar.gz) base=${from%/*} name=${from##*/} ;;
        *) base=${from%/} name='' ;;
      esac
      fetch "$base/SHA256SUMS" "$work/SHA256SUMS"
      [ -n "$name" ] || name=$(sed 's/^[0-9a-f]* [ *]//' "$work/SHA256SUMS" | newest)
      [ -n "$name" ] || fail "$base/SHA256SUMS names no weave-VERSION-linux-$arch.tar.gz"
      fetch "$base/$name" "$work/$name"
      source=$work/$name
      verify "$source" "$work/SHA256SUMS" ;;
    *)
      [ -e "$from" ] || fail "there is no $from"
      source=$from
      if [ -d "$from" ] && [ ! -e "$from/package.json" ]; then
        name=$(ls "$from" | newest)
        [ -n "$name" ] || fail "$from has no weave-VERSION-linux-$arch.tar.gz" "--from names a folder of a release, an archive, or a URL."
        source=$from/$name
      fi
      sums=$(dirname "$source")/SHA256SUMS
      if [ -f "$source" ] && [ -e "$sums" ]; then verify "$source" "$sums"; fi ;;
  esac
}

# Unpacks the release to the folder `new`, beside what runs.
unpack() {
  if [ -d "$source" ]; then
    check_disk "$(($(du -sk "$source" | cut -f 1) + 1024))"
    cp -R "$source/." "$new/" || fail "cannot copy $source to $lib" "Nothing was changed."
  else
    check_disk "$(($(gzip -dc "$source" 2>/dev/null | wc -c) / 1024 + 1024))"
    tar -xzf "$source" -C "$new" --strip-components=1 --no-same-owner ||
      fail "cannot unpack $source to $lib" "Nothing was changed. If the disk is not full, the archive is damaged: fetch it again."
  fi
  [ -e "$new/package.json" ] && [ -e "$new/node" ] && [ -e "$new/weave" ] ||
    fail "$source is no release of weave: it has no package.json, node and weave" "Nothing was changed."
  [ -d "$new/native/linux-$(echo "$arch" | sed s/amd64/x64/)" ] || fail "$source is for another architecture than $arch" "Nothing was changed."
  version=$(version_in "$new")
  case $version in '' | *[!0-9A-Za-z.+-]*) fail "$source names no version of weave: '$version'" "Nothing was changed." ;; esac
  # With its native modules: they need libraries of this host.
  works=$("$new/weave" version 2>&1 && "$new/node" -e 'process.argv.slice(1).forEach(require)' "$new"/native/*/*.node 2>&1) ||
    fail "the new weave does not run on this host: $works" "Nothing was changed."
}

# --- installation -------------------------------------------------------------------------------------------------------------

# Links from the usual places into the application: "PLACE TARGET", of files that this release has.
links() {
  printf '%s\n' "bin/weave ../lib/weave/weave"
  for file in man/man1/weave.1 bash-completion/completions/weave zsh/site-functions/_weave fish/vendor_completions.d/weave.fish; do
    [ ! -e "$1/share/$file" ] || printf '%s\n' "share/$file $(printf '%s' "$file" | sed 's|[^/]*/|../|g;s|[^/]*$||')../lib/weave/share/$file"
  done
}

# Makes a link, or replaces one, in one step. An interrupted run may have left the first half of it.
switch() {
  mkdir -p "${1%/*}"
  rm -f "$1.new"
  ln -s "$2" "$1.new"
  mv -fT "$1.new" "$1"
}

# Folders above the files of the manifest which do not exist yet, so that removal takes away these alone.
missing_folders() {
  while read -r path; do
    folder=${path%/*}
    while [ ! -d "$folder" ]; do printf '%s\n' "$folder"; folder=${folder%/*}; done
  done | sort -u
}

write_manifest() {
  {
    printf '%s\n' "$current"
    links "$new" | while read -r place _; do printf '%s\n' "$prefix/$place"; done
    if [ "$service" = yes ] && systemd_runs; then printf '%s\n' "$units/weave.service" "$environment"; fi
  } >"$work/files"
  {
    # Of the last installation: files that this one may not have any more, and folders that were missing then.
    [ ! -e "$current/manifest" ] || cat "$current/manifest"
    sed 's/^/file /' "$work/files"
    { printf '%s\n' "$made"; missing_folders <"$work/files"; } | sed '/./!d;s/^/folder /'
  } | sort -u >"$new/manifest"
}

install_links() {
  links "$new" | while read -r place target; do switch "$prefix/$place" "$target"; done
}

install_service() {
  [ "$service" = yes ] || return 0
  if ! systemd_runs; then say "systemd does not run here: no unit was installed."; return 0; fi
  mkdir -p "$units" "${environment%/*}"
  sed "s|/usr/bin/weave|$prefix/bin/weave|g; s|/usr/lib/weave|$current|g" "$new/share/systemd/weave.service" >"$units/weave.service.new"
  mv -f "$units/weave.service.new" "$units/weave.service"
  # The settings are the administrator's. A password can be among them.
  [ -e "$environment" ] || (umask 077 && cp "$new/share/systemd/weave.env" "$environment")
  systemctl daemon-reload || warn "'systemctl daemon-reload' failed: run it before the service is used"
}

remove_old_folders() {
  application_folders | while read -r folder; do
    [ "$folder" != "$new" ] || continue
    # A router of the old version still needs its files; the next run removes them.
    if in_use "$folder"; then continue; fi
    rm -rf "$folder"
  done
}

install() {
  check_host
  check_other_kinds
  lock
  work=$(mktemp -d "${TMPDIR:-/tmp}/weave-install.XXXXXX")
  new=''
  trap 'rm -rf "$work" ${new:+"$new"}; printf "%s\n" "$made" | remove_empty_folders' EXIT
  trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
  find_release
  new=$(mktemp -d "$lib/weave-new.XXXXXX") || fail "cannot write to $lib"
  chmod 755 "$new"
  # Marks a folder as this program's: it removes no other.
  : >"$new/.install.sh" || fail "cannot write to $lib: is the disk full?" "Nothing was changed."
  unpack
  old=$(version_in "$current")
  if [ -n "$old" ] && older "$version" "$old" && [ "$downgrade" = no ]; then
    fail "weave $old is installed, and $version is older: it may not read the database of $old" \
      "Nothing was changed. To go back all the same, take a backup ('weave backup FILE') and use --allow-downgrade."
  fi
  write_manifest || fail "cannot write to $lib: is the disk full?" "Nothing was changed."
  final=$lib/weave-$version.${new##*.}
  mv -T "$new" "$final"
  new=$final
  # All must be on disk before it is the one that runs: power may fail.
  sync -f "$new" 2>/dev/null || sync
  switch "$current" "${new##*/}"
  # From here on the new version is the installed one; what fails below is repaired by another run.
  trap 'rm -rf "$work"' EXIT
  install_links
  install_service
  report_installation
  remove_old_folders
}

report_installation() {
  if [ -z "$old" ]; then say "weave $version is installed: $prefix/bin/weave"
  elif [ "$old" = "$version" ]; then say "weave $version is installed again: $prefix/bin/weave"
  else say "weave $version is installed in place of $old: $prefix/bin/weave"; fi
  case :$PATH: in
    *":$prefix/bin:"*) ;;
    *) say "$prefix/bin is not in the PATH of this shell: add it, or call $prefix/bin/weave." ;;
  esac
  if ! router_runs; then say "Next: 'weave setup' checks this host, 'weave launch' starts the router."
  elif router_in_container; then say "The router runs in a container: a new image replaces it, not this program."
  elif [ "$restart" = yes ]; then
    "$prefix/bin/weave" restart 9<&- || fail "weave $version is installed, but the router was not restarted" "'weave status' shows what runs; run 'weave restart' again."
    say "The router was restarted, and is of version $version."
  else say "The running router is still the old one. Next: 'weave restart' replaces it; containers keep their network."; fi
}

# --- removal ------------------------------------------------------------------------------------------------------------------

uninstall() {
  [ -d "$lib" ] || fail "there is no weave in $prefix"
  lock
  folders=$(application_folders)
  if [ ! -e "$current/manifest" ]; then
    [ -n "$folders" ] || fail "this program has installed no weave in $prefix" "Another --prefix? 'command -v weave' shows where a command is."
    # An interrupted first run: nothing but its folder.
    remove_folders
    say "The remains of an interrupted installation are removed."
    return 0
  fi
  if [ "$purge" = yes ]; then
    "$current/weave" reset --force 9<&- || fail "'weave reset --force' failed: weave is still installed" "Repair the cause that it names, then run this again."
  elif kept_running; then
    "$current/weave" stop || fail "'weave stop' failed: weave is still installed" "Repair the cause that it names, then run this again."
  fi
  manifest=$(cat "$current/manifest")
  if printf '%s\n' "$manifest" | grep -q '/weave\.service$' && systemd_runs; then
    systemctl --quiet disable weave.service 2>/dev/null || true
    reload=yes
  else reload=no; fi
  # What an administrator has changed stays, unless all has to go.
  if [ "$purge" = no ] && [ -e "$environment" ] && ! cmp -s "$environment" "$current/share/systemd/weave.env"; then
    say "$environment was changed, and stays."
    manifest=$(printf '%s\n' "$manifest" | grep -vxF "file $environment")
  fi
  # The link to the application goes last: an interrupted removal is completed by another run.
  printf '%s\n' "$manifest" | sed -n 's/^file //p' | grep -vxF "$current" | while read -r file; do rm -f "$file"; done
  [ "$reload" = no ] || systemctl daemon-reload || true
  rm -f "$current"
  remove_folders
  if [ "$purge" = yes ]; then
    rmdir "${environment%/*}" 2>/dev/null || true
  fi
  printf '%s\n' "$manifest" | sed -n 's/^folder //p' | remove_empty_folders
  if [ "$purge" = yes ]; then say "weave is removed, with its state and configuration."
  else say "weave is removed. Its state stays in /var/lib/weave, its configuration in /etc/weave."; fi
}

# Reads names of folders, and removes those without content, the inner ones first.
remove_empty_folders() { sort -r | while read -r folder; do [ -z "$folder" ] || rmdir "$folder" 2>/dev/null || true; done; }

remove_folders() { printf '%s\n' "$folders" | while read -r folder; do [ -z "$folder" ] || rm -rf "$folder"; done; }

[ "$(id -u)" = 0 ] || fail "only root can install weave" "Try it with sudo."
"$action"
