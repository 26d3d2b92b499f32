#!/bin/sh
# The `weave` command of an installation that has its own Node: /usr/bin/weave or /usr/local/bin/weave leads here.
self=$(readlink -f "$0") || { echo "weave: cannot find its own folder from $0" >&2; exit 1; }
folder=${self%/*}
exec "$folder/node" "$folder/bin/weave" "$@"
