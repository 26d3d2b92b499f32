#!/usr/bin/env bash
# Makes a fresh Debian or Ubuntu with Node ready, then runs the command given: system packages, `npm ci`, build.
# What is there already is not installed again.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  { say "weave needs Node 20.19 or later; this is $(node --version)"; exit 1; }

# tool:package
needed=(ip:iproute2 nsenter:util-linux nft:nftables iptables:iptables ping:iputils-ping tcpdump:tcpdump ethtool:ethtool iperf3:iperf3 ps:procps sysctl:procps dig:bind9-dnsutils)
# What some tests compare with: without it they say so.
wanted=(drill:ldnsutils dnsmasq:dnsmasq-base musl-gcc:musl-tools gcc:gcc qemu-aarch64-static:qemu-user-static
  dockerd:docker.io docker:docker.io tini-static:tini busybox:busybox-static script:bsdutils openssl:openssl curl:curl)
# What the bench measures beside us.
[ "${WITH_PEERS:-}" = "" ] || wanted+=(nebula:nebula fastd:fastd tincd:tinc openvpn:openvpn wireguard-go:wireguard-go wg:wireguard-tools)
PATH="$PATH:/usr/sbin:/sbin"
lacking() {
  for entry in "$@"; do command -v "${entry%%:*}" >/dev/null || printf '%s\n' "${entry##*:}"; done
}
mapfile -t missing < <(lacking "${needed[@]}" | sort -u)
mapfile -t lesser < <(lacking "${wanted[@]}" | sort -u)
if [ $((${#missing[@]} + ${#lesser[@]})) -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing: ${missing[*]} ${lesser[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2
    [ ${#missing[@]} = 0 ] || apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
    # Docker is installed for its programs: tests start engines of their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap 'rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod +x "$policy"
    else
      policy=
    fi
    for package in "${lesser[@]}"; do
      apt-get install -y -qq --no-install-recommends "$package" >&2 || say "not to be had: $package"
    done
    [ -z "$policy" ] || rm -f "$policy"
  elif [ ${#missing[@]} -gt 0 ]; then
    say "missing: ${missing[*]} (run as root on Debian or Ubuntu, or install them yourself)"
  fi
fi

stamp=node_modules/.weave-installed
if [ ! -f "$stamp" ] || ! cmp -s package-lock.json "$stamp"; then
  say "npm ci"
  npm ci --no-audit --no-fund --loglevel=error >&2
  cp package-lock.json "$stamp"
fi
npm run --silent build >&2

exec "$@"
