#!/usr/bin/env bash
# peers.sh: builds the overlays that the benchmark measures beside this one, in versions newer than Debian's, from the Go module
# proxy and crates.io. They are kept outside the tree (WEAVE_PEERS_CACHE, by default ~/.cache/weave-peers): nothing is installed.
#
#   peers.sh [NAME...]  builds what is missing, all or these, within WEAVE_PEERS_SECONDS (default 1200) in all: five minutes on two
#                       cores; what cannot be built is reported with its reason, and the exit status is 0: the benchmark measures the
#                       others
#   peers.sh --list     prints for each: name, version, folder of its programs or "-", reason why there is none
#   peers.sh --remove   deletes the cache
set -euo pipefail

cache=${WEAVE_PEERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weave-peers}
limit=${WEAVE_PEERS_SECONDS:-1200}
# Seconds between two lines about a build.
PROGRESS=20
# No build is started with fewer seconds left.
LEAST=3

# The one table of versions. name|tool|version|what the tool installs|programs
table=(
  # UDP GSO and GRO, and offloads of the TUN device, which Debian's version does not have.
  "wireguard-go|go|v0.0.0-20260522210424-ecfc5a8d5446|golang.zx2c4.com/wireguard|wireguard"
  # 1.12 requires a newer Go than most hosts have.
  "nebula|go|v1.10.3|github.com/slackhq/nebula/cmd/nebula github.com/slackhq/nebula/cmd/nebula-cert|nebula nebula-cert"
  "boringtun|cargo|0.7.1|boringtun-cli|boringtun-cli"
  "gotatun|cargo|0.10.2|gotatun-cli|gotatun"
  "vpncloud|cargo|2.3.0|vpncloud|vpncloud"
)

say() { printf 'peers.sh: %s\n' "$*" >&2; }

folder() { printf '%s\n' "$cache/$1-$2"; }

# built NAME VERSION PROGRAMS: all programs are in the cache.
built() {
  local program
  for program in $3; do [ -x "$(folder "$1" "$2")/bin/$program" ] || return 1; done
}

install_go() { # FOLDER VERSION PACKAGES
  local package
  # The binary needs nothing else of the modules; their checksums are verified as usual.
  for package in $3; do GOBIN="$1/bin" go install "$package@$2"; done
}

install_cargo() { # FOLDER VERSION CRATE
  # Compiled parts stay in the cache when the time is over: the next run continues.
  CARGO_TARGET_DIR="$cache/cargo-$3" cargo install --locked --root "$1" --version "=$2" "$3" && rm -rf "$cache/cargo-$3"
}

# The last lines of a log that name an error, as one line.
reason_in() { { grep -aiE 'error|cannot|unable|no such|not found|timed? ?out' "$1" || cat "$1"; } | tail -n 2 | tr '\n' ' ' | cut -c 1-300; }

# build NAME TOOL VERSION PACKAGES SECONDS: in a process of its own, so that the time limit ends all of it.
build() {
  local name=$1 tool=$2 version=$3 packages=$4 seconds=$5 target log status=0
  target=$(folder "$name" "$version")
  log=$target.log
  command -v "$tool" >/dev/null || { echo "there is no '$tool' on the path, which builds it" >"$target.reason"; say "$name $version: $(cat "$target.reason")"; return; }
  say "building $name $version with $tool (limit ${seconds} s)"
  rm -rf "$target.new"
  timeout -k 10 "$seconds" nice -n 10 bash "$0" --install "$tool" "$target.new" "$version" "$packages" >"$log" 2>&1 </dev/null &
  local pid=$! began=$SECONDS shown=0
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    if [ $((SECONDS - began - shown)) -ge "$PROGRESS" ]; then
      shown=$((SECONDS - began))
      say "$name: $shown s: $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-100)"
    fi
  done
  wait "$pid" || status=$?
  if [ "$status" = 0 ]; then
    rm -rf "$target" "$target.reason"
    mv "$target.new" "$target"
    say "$name $version is built ($((SECONDS - began)) s)"
  else
    rm -rf "$target.new"
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then echo "not built within $seconds s; the next run continues"
    else echo "$tool failed: $(reason_in "$log") (all of it: $log)"; fi >"$target.reason"
    say "$name $version: $(cat "$target.reason")"
  fi
}

case ${1:-} in
  --install) # TOOL FOLDER VERSION PACKAGES
    mkdir -p "$3/bin"
    "install_$2" "$3" "$4" "$5"
    ;;
  --list)
    for row in "${table[@]}"; do
      IFS='|' read -r name tool version packages programs <<<"$row"
      target=$(folder "$name" "$version")
      if built "$name" "$version" "$programs"; then printf '%s\t%s\t%s\t\n' "$name" "$version" "$target/bin"
      else printf '%s\t%s\t-\t%s\n' "$name" "$version" "$(cat "$target.reason" 2>/dev/null || echo "not built yet: scripts/peers.sh")"; fi
    done
    ;;
  --remove) rm -rf "$cache" ;;
  -*) say "'$1' is no option: --list or --remove"; exit 2 ;;
  *)
    mkdir -p "$cache"
    # Two at a time would build the same.
    exec 9>"$cache/lock"
    flock -n 9 || { say "another process is building; waiting"; flock -w "$limit" 9 || { say "it still is"; exit 0; }; }
    for row in "${table[@]}"; do
      IFS='|' read -r name tool version packages programs <<<"$row"
      if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
      built "$name" "$version" "$programs" && continue
      left=$((limit - SECONDS))
      if [ "$left" -lt "$LEAST" ]; then
        echo "no time was left of $limit s (WEAVE_PEERS_SECONDS)" >"$(folder "$name" "$version").reason"
        say "$name $version: $(cat "$(folder "$name" "$version").reason")"
      else
        build "$name" "$tool" "$version" "$packages" "$left"
      fi
    done
    ;;
esac
