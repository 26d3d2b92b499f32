#!/usr/bin/env bash
# with-setup.sh PROFILE COMMAND...: makes a fresh Debian or Ubuntu with Node ready, then runs the command: system packages,
# `npm ci`, build. Each profile installs what its command needs and no more; programs that exist are not installed again. No
# service that a package brings is started, or enabled for the next boot.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }

# tool:package, or tool:package|other for the first that this release has. A path stands for a file that is no program.
demo=(ip:iproute2 nsenter:util-linux nft:nftables ping:iputils-ping sysctl:procps iperf3:iperf3)
# For the man page and the completions.
shells=(mandoc:mandoc groff:groff-base man:man-db zsh:zsh fish:fish /usr/share/bash-completion/bash_completion:bash-completion)
# `docker.io` brings the client on some releases, on others it is a package of its own.
tests=("${demo[@]}" iptables:iptables conntrack:conntrack tcpdump:tcpdump tshark:tshark ethtool:ethtool ps:procps dig:bind9-dnsutils curl:curl openssl:openssl
  script:bsdutils drill:ldnsutils dnsmasq:dnsmasq-base gcc:gcc strip:binutils musl-gcc:musl-tools /usr/include/linux/fcntl.h:linux-libc-dev
  qemu-aarch64-static:qemu-user-static dockerd:docker.io 'docker:docker-cli|docker.io' tini-static:tini busybox:busybox-static
  podman:podman /usr/lib/podman/netavark:netavark /usr/lib/podman/aardvark-dns:aardvark-dns catatonit:catatonit
  /usr/lib/cni/host-local:containernetworking-plugins
  "${shells[@]}")
# The alerts and the dashboard of examples/prometheus.
prometheus=("${tests[@]}" prometheus:prometheus promtool:prometheus)
# Packages, archives and images, and the systems that they are installed on.
packaging=("${tests[@]}" debootstrap:debootstrap lintian:lintian docker-compose:docker-compose ufw:ufw docker-registry:docker-registry 'gpg:gpg|gnupg'
  xz:xz-utils aarch64-linux-gnu-strip:binutils-aarch64-linux-gnu
  /usr/aarch64-linux-gnu/lib/libstdc++.so.6:libstdc++6-arm64-cross
  newuidmap:uidmap slirp4netns:slirp4netns)
# Docker engines, built from source or taken from other releases (scripts/engines.sh).
engines=("${packaging[@]}" patchelf:patchelf pkg-config:pkg-config /usr/include/seccomp.h:libseccomp-dev
  /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring)
# The overlays that the benchmark measures beside this one; scripts/peers.sh builds newer ones, with a Go and a Rust that are there.
peers=(nebula:nebula fastd:fastd tincd:tinc openvpn:openvpn wireguard-go:wireguard-go wg:wireguard-tools)
# The page in a browser, and its pictures.
page=("${demo[@]}" /usr/bin/chromium:chromium pngquant:pngquant)
profile=$1
shift
case $profile in
  build) programs=() ;;
  demo) programs=("${demo[@]}") ;;
  test) programs=("${tests[@]}") ;;
  prometheus) programs=("${prometheus[@]}") ;;
  packaging) programs=("${packaging[@]}") ;;
  engines) programs=("${engines[@]}") ;;
  page) programs=("${page[@]}") ;;
  bench) programs=("${tests[@]}" "${peers[@]}") ;;
  *) say "with-setup.sh: '$profile' is no profile: build, demo, test, prometheus, packaging, engines, page or bench"; exit 2 ;;
esac

command -v node >/dev/null || { say "weave needs Node 20.19 or later; there is no 'node' on the path"; exit 1; }
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  { say "weave needs Node 20.19 or later; this is $(node --version)"; exit 1; }

log=$(mktemp)
policy=
trap 'rm -f "$log" $policy' EXIT

# Runs one step without its output, which is shown when the step fails.
quietly() {
  "$@" >"$log" 2>&1 || { local status=$?; cat "$log" >&2; say "failed ($status): $*"; return "$status"; }
}

missing() {
  local entry tool
  for entry in "${programs[@]}"; do
    tool=${entry%%:*}
    command -v "$tool" >/dev/null || { [[ $tool == /* ]] && [ -e "$tool" ]; } || printf '%s\n' "$entry"
  done
}

# Links by which an init system starts services at boot.
enabled() { find /etc/systemd/system /etc/rc[2-5].d -type l \( -path '*.wants/*' -o -name 'S*' \) 2>/dev/null | sort; }

# A package may enable its service: docker.io does. The programs are wanted here, the services are not.
disable_new() {
  local link name
  while read -r link; do
    name=$(basename "$link")
    case $link in
      /etc/systemd/*) { command -v systemctl >/dev/null && systemctl disable "$name" >/dev/null 2>&1; } || rm -f "$link" ;;
      *) update-rc.d "${name#S[0-9][0-9]}" disable >/dev/null 2>&1 || true ;;
    esac
  done < <(comm -13 <(printf '%s\n' "$1") <(enabled))
}

install_packages() {
  local entry alternative packages=() before
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get update -qq
  for entry in "$@"; do
    for alternative in $(tr '|' ' ' <<<"${entry#*:}"); do
      [ -n "$(apt-cache madison "$alternative" 2>/dev/null)" ] && { packages+=("$alternative"); break; }
    done
  done
  mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
  say "installing ${#packages[@]} packages: ${packages[*]}"
  before=$(enabled)
  # Debian's way to keep a service that is installed from being started (invoke-rc.d(8)).
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  # All at once is fast; one that cannot be installed must not keep the others out.
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$log" 2>&1 ||
    for package in "${packages[@]}"; do quietly apt-get install -y -qq --no-install-recommends "$package" || true; done
  [ -z "$policy" ] || { rm -f "$policy"; policy=; }
  disable_new "$before"
  export WEAVE_SETUP_PACKAGES="${packages[*]}"
}

mapfile -t lacking < <(missing)
if [ ${#lacking[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then install_packages "${lacking[@]}"; fi
  mapfile -t lacking < <(missing)
  if [ ${#lacking[@]} -gt 0 ]; then
    say "not found: ${lacking[*]%%:*}; install ${lacking[*]#*:} (as root, on Debian or Ubuntu, this script does)"
    # Elsewhere the tests that need one of them are skipped, and say so.
    [ -z "${CI:-}" ] || exit 1
  fi
fi

stamp=node_modules/.weave-installed
if [ ! -f "$stamp" ] || ! cmp -s package-lock.json "$stamp"; then
  say "installing the packages of package-lock.json"
  quietly npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json "$stamp"
fi
say "building"
# The compiler leaves what it made of files that are gone: tests that have moved would run at their old places, too.
while IFS= read -r made; do
  source=${made#dist/}
  [ -e "${source%.js}.ts" ] || rm -f "$made"
done < <([ ! -d dist ] || find dist -name '*.js' ! -path 'dist/page/*')
quietly npm run --silent build
rm -f "$log"
trap - EXIT

exec "$@"
