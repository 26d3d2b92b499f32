#!/usr/bin/env bash
# engines.sh [NAME...]: makes the Docker engines that `npm run test:engines` tests with, by default all, in a cache outside of the
# tree: WEAVE_ENGINES, by default ~/.cache/weave-engines. Each has a folder NAME/bin, which the lab's hosts put first on
# their path. What is there already, in the right version, is not made again; an interrupted build continues.
#
#   20.10  26.1   Debian 12's and 13's packages, unpacked: some 10 s each; root is not needed. A machine's own engine of that
#                 release is used instead
#   29            dockerd, docker-proxy, runc, Compose and cnitool, built from source by Go: 4 minutes on two idle cores, 3 GB
#                 of Go's caches; later builds take seconds. containerd is the machine's own
#
#   engines.sh --check NAME    ends with 0 if that engine is there; else it prints why not
#   engines.sh --list          prints the names
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

ALL=(20.10 26.1 29)
MOBY=v2.0.0-beta.24
RUNC=v1.5.2
COMPOSE=v5.5.1
CNITOOL=v1.3.0
# The first Go that fetches the toolchain which a module asks for.
GO_MINOR=21
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
MIRROR=${WEAVE_ENGINES_MIRROR:-http://deb.debian.org/debian}

cache=${WEAVE_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/weave-engines}
say() { printf 'engines.sh: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
need() { command -v "$1" >/dev/null || [ -e "$1" ] || fail "needs $1 (apt-get install $2); npm run test:engines installs it"; }

# What an engine is made of: another text means that it is made again.
recipe() {
  case $1 in
    20.10) echo "debian bookworm, linked 1" ;;
    26.1) echo "debian trixie, linked 1" ;;
    29) echo "moby $MOBY, runc $RUNC, compose $COMPOSE, cnitool $CNITOOL" ;;
    *) fail "'$1' is no engine that it knows: ${ALL[*]}" ;;
  esac
}

# is NAME DOCKERD: whether it is an engine of that release
is() { "$2" --version 2>/dev/null | grep -q "Docker version ${1//./\\.}\\."; }

# Prints why an engine must be made; nothing if it is there.
lacks() {
  if [ "$1" != 29 ] && is "$1" dockerd; then return; fi
  local folder=$cache/$1
  if [ ! -e "$folder/bin/dockerd" ]; then echo "engine $1 is not in $cache"
  elif [ "$(cat "$folder/recipe" 2>/dev/null)" != "$(recipe "$1")" ]; then echo "engine $1 in $cache is not complete, or of other versions"
  elif ! is "$1" "$folder/bin/dockerd"; then echo "engine $1 in $cache does not start"
  fi
}

# logged WHAT COMMAND...: runs a command into the log; a failure shows its end.
logged() {
  local what=$1 began=$SECONDS status
  shift
  # Not before ||, where a function would go on after a command that fails.
  set +e
  (set -e; "$@") >>"$log" 2>&1
  status=$?
  set -e
  [ "$status" = 0 ] || { tail -15 "$log" >&2; fail "$what failed (the end of $log is above)$hint"; }
  say "$what: $((SECONDS - began)) s"
}

# unpacked SUITE FOLDER PACKAGE...: packages of a Debian release with all that they depend on, unpacked. Not those of this
# machine: apt has sources, lists and a status of its own here.
unpacked() {
  local suite=$1 apt=$2/apt root=$2/root package
  shift 2
  mkdir -p "$apt"/{lists,archives}/partial "$apt/empty" "$root"
  : >"$apt/status"
  echo "deb [signed-by=$KEYRING] $MIRROR $suite main" >"$apt/sources.list"
  local options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status"
    -o "Dir::Cache=$apt" -o "Dir::Cache::archives=$apt/archives" -o APT::Sandbox::User= -o APT::Install-Recommends=false)
  for package in sourceparts preferencesparts; do options+=(-o "Dir::Etc::$package=$apt/empty"); done
  apt-get "${options[@]}" update
  apt-get "${options[@]}" --yes --download-only install "$@"
  for package in "$apt"/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
}

# linked ROOT FOLDER PLACE: copies an engine's programs and the libraries that they need, and has the programs use these: they are of
# another C library than this machine's. FOLDER will be moved to PLACE. Not by LD_LIBRARY_PATH, which would reach this
# machine's iptables too; not by running ld.so, as dockerd and runc run /proc/self/exe again.
linked() {
  local root=$1 folder=$2 place=$3 program file interpreter wanted
  mkdir -p "$folder"/{bin,lib}
  local programs=(dockerd docker-proxy docker-init containerd containerd-shim-runc-v2 ctr runc) queue=()
  for program in "${programs[@]}"; do
    file=$(find "$root"/usr/{sbin,bin} "$root"/{sbin,bin} -name "$program" 2>/dev/null | head -1)
    [ -n "$file" ] || { echo "the packages have no $program"; return 1; }
    cp -L "$file" "$folder/bin/$program"
    chmod 755 "$folder/bin/$program"
    queue+=("$folder/bin/$program")
  done
  while [ ${#queue[@]} -gt 0 ]; do
    file=${queue[0]}
    queue=("${queue[@]:1}")
    # A static program has none.
    for wanted in $(patchelf --print-needed "$file" 2>/dev/null); do
      [ ! -e "$folder/lib/$wanted" ] || continue
      cp -L "$(find "$root/usr/lib" "$root/lib" -name "$wanted" 2>/dev/null | head -1)" "$folder/lib/$wanted"
      queue+=("$folder/lib/$wanted")
    done
  done
  for program in "${programs[@]}"; do
    interpreter=$(patchelf --print-interpreter "$folder/bin/$program" 2>/dev/null) || continue
    wanted=$(basename "$interpreter")
    [ -e "$folder/lib/$wanted" ] || cp -L "$(find "$root/usr/lib" "$root/lib" -name "$wanted" 2>/dev/null | head -1)" "$folder/lib/$wanted"
    patchelf --set-interpreter "$place/lib/$wanted" --force-rpath --set-rpath "$place/lib" "$folder/bin/$program"
  done
}

make_debian() {
  local name=$1 suite=$2
  need apt-get apt
  need dpkg-deb dpkg
  need patchelf patchelf
  need "$KEYRING" debian-archive-keyring
  say "engine $name: Debian's packages ($suite), some 10 s"
  hint=". They come from $MIRROR; WEAVE_ENGINES_MIRROR names another mirror."
  logged "packages of engine $name" unpacked "$suite" "$work" docker.io containerd runc tini
  hint=
  logged "programs of engine $name" linked "$work/root" "$work/made" "$cache/$name"
  rm -rf "${cache:?}/$name"
  mv "$work/made" "$cache/$name"
}

# A Go that can fetch newer ones: this machine's, or Debian's, which is unpacked for this build alone.
find_go() {
  local version
  version=$(go env GOVERSION 2>/dev/null || true)
  version=${version#go1.}
  [ -n "$version" ] && [ "${version%%.*}" -ge "$GO_MINOR" ] && return
  say "this machine has ${version:+only Go 1.$version, and }no Go from 1.$GO_MINOR on: Debian 13's is fetched, 60 MB"
  need apt-get apt
  need "$KEYRING" debian-archive-keyring
  hint=". Install Go 1.$GO_MINOR or later instead: https://go.dev/dl"
  logged "packages of Go" unpacked trixie "$work" golang-1.24-go
  hint=
  PATH=$work/root/usr/lib/go-1.24/bin:$PATH
}

# built NAME MODULE VERSION: whether that program is there, of that version, by its own account
built() { go version -m "$cache/29/bin/$1" 2>/dev/null | grep -qP "\tmod\t\Q$2\E\t\Q$3\E\t"; }

# build NAME MODULE VERSION COMMAND...: makes one program, by a command that writes it to $work/bin
build() {
  local name=$1 module=$2 version=$3
  shift 3
  ! built "$name" "$module" "$version" || return 0
  hint=". Sources come from GOPROXY, which is $(go env GOPROXY). What is compiled is kept: the next run continues."
  logged "$name $version" "$@"
  hint=
  mv "$work/bin/$name" "$cache/29/bin/$name"
}

# Its module has directives that `go install` refuses: it is built as a dependency of another one.
compose() {
  mkdir "$work/compose"
  cd "$work/compose"
  go mod init weave-engines
  go get "github.com/docker/compose/v5@$COMPOSE"
  CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags='-s -w' -o "$GOBIN/docker-compose" github.com/docker/compose/v5/cmd
}

make_29() {
  need gcc gcc
  need pkg-config pkg-config
  need /usr/include/seccomp.h libseccomp-dev
  say "engine 29 is built from source: 4 minutes on two idle cores, up to 40 on busy ones; progress is in $log"
  find_go
  export GOBIN=$work/bin GOFLAGS=-buildvcs=false GOTOOLCHAIN=auto GOWORK=off
  mkdir -p "$cache/29/bin" "$GOBIN"
  local moby=github.com/moby/moby/v2 runc=github.com/opencontainers/runc cni=github.com/containernetworking/cni
  # Sources that are no checkout have no version of their own: the release that this is a beta of.
  build dockerd $moby $MOBY env CGO_ENABLED=0 go install -trimpath -ldflags="-s -w -X $moby/dockerversion.Version=29.99.0" "$moby/cmd/dockerd@$MOBY"
  build docker-proxy $moby $MOBY env CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' "$moby/cmd/docker-proxy@$MOBY"
  # Debian 12's runc does not know the time namespaces that this engine asks for.
  build runc $runc $RUNC env CGO_ENABLED=1 go install -tags seccomp -trimpath -ldflags='-s -w' "$runc@$RUNC"
  build docker-compose github.com/docker/compose/v5 $COMPOSE compose
  build cnitool $cni $CNITOOL env CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' "$cni/cnitool@$CNITOOL"
}

if [ "${1:-}" = --list ]; then printf '%s\n' "${ALL[@]}"; exit; fi
if [ "${1:-}" = --check ]; then
  recipe "${2:-}" >/dev/null
  reason=$(lacks "$2")
  [ -z "$reason" ] || { echo "$reason"; exit 1; }
  exit 0
fi
[ $# -gt 0 ] || set -- "${ALL[@]}"
for name in "$@"; do recipe "$name" >/dev/null; done

mkdir -p "$cache"
exec 9>"$cache/lock"
flock --nonblock 9 || { say "another run makes engines; waiting for it"; flock 9; }
# What an interrupted run has left.
rm -rf "$cache"/making-*
hint=
for name in "$@"; do
  [ -n "$(lacks "$name")" ] || continue
  log=$cache/$name.log
  : >"$log"
  # In the cache: of the same file system, so that what is made is moved there whole.
  work=$(mktemp -d "$cache/making-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  case $name in
    20.10) make_debian "$name" bookworm ;;
    26.1) make_debian "$name" trixie ;;
    29) make_29 ;;
  esac
  recipe "$name" >"$cache/$name/recipe"
  rm -rf "$work"
  reason=$(lacks "$name")
  [ -z "$reason" ] || { "$cache/$name/bin/dockerd" --version >&2 || true; fail "$reason, although it was made just now: see $log"; }
  say "engine $name is in $cache/$name"
done
