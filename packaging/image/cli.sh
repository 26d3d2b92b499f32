#!/bin/sh
# The command `weave` for a host without Node: runs it from the image, in a container that ends with it. `docker run --rm IMAGE cli`
# prints this script; put it on the path as `weave`. WEAVE_IMAGE names another image, also for the router that it launches.
set -eu
: "${WEAVE_IMAGE:=weave:@VERSION@}"
export WEAVE_IMAGE

# Files of this host are not seen from the container, but those below /run, and what is made in it ends with it.
for last; do :; done
case ${1:-}:${last:-} in
  backup:-* | backup:/run/* | backup:backup | restore:-* | restore:/run/* | restore:restore) ;;
  backup:* | restore:*)
    echo "this 'weave' runs in a container, and has no access to the file $last of the host" >&2
    echo "'(umask 077; weave backup - >FILE)' and 'weave restore - <FILE' pass a backup through it." >&2
    exit 1 ;;
esac

# The names alone: values such as a password are no arguments.
variables=$(env | sed -n 's/^\(WEAVE_[A-Z_]*\|DOCKER_[A-Z_]*\|ORIG_DOCKER_HOST\)=.*/-e \1/p')
folders='-v /run:/run:rslave -v /etc:/host/etc:ro'
# The data container's volume, at its path on the host.
state=$(docker inspect -f '{{range .Mounts}}{{if eq .Destination "/weavedb"}}{{.Source}}{{end}}{{end}}' "${WEAVE_CONTAINER_NAME:-weave}db" 2>/dev/null) || state=
[ -z "$state" ] || folders="$folders -v $state:$state"
# Where runtimes of this host look for CNI plugins and their configurations.
case ${1:-} in
  setup-cni | reset)
    case " $* " in
      *-plugin-dir* | *-conf-dir*)
        echo "this 'weave' runs in a container, and does not have the flags of 'weave setup-cni' for folders" >&2
        echo "WEAVE_CNI_PLUGIN_DIR and WEAVE_CNI_CONF_DIR name others." >&2
        exit 1 ;;
    esac
    plugins=${WEAVE_CNI_PLUGIN_DIR:-/opt/cni/bin} configurations=${WEAVE_CNI_CONF_DIR:-/etc/cni/net.d}
    if [ "$1" = setup-cni ] || [ -d "$plugins" ]; then folders="$folders -v $plugins:$plugins"; fi
    [ ! -d "$configurations" ] || folders="$folders -v $configurations:$configurations" ;;
esac
# As the router's (cli/supervision/container/container-config.ts).
rights='--cap-drop ALL --security-opt apparmor=unconfined --security-opt seccomp=unconfined'
for capability in CHOWN DAC_OVERRIDE FOWNER NET_BIND_SERVICE NET_ADMIN NET_RAW SYS_PTRACE SYS_ADMIN SYS_NICE; do
  rights="$rights --cap-add $capability"
done
terminal=
[ ! -t 0 ] || [ ! -t 1 ] || terminal=-t
# shellcheck disable=SC2086 # lists of words
exec docker run --rm -i $terminal $rights --network host --pid host --userns host $folders $variables "$WEAVE_IMAGE" "$@"
