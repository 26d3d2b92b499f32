#!/usr/bin/env bash
# Builds the CNI plugin (plugin/) for each architecture that weave runs on, and writes programs.ts. Needs:
#   apt-get install gcc gcc-aarch64-linux-gnu linux-libc-dev linux-libc-dev-arm64-cross
# build.sh --native FILE [FLAG…] builds it only for this machine.
set -euo pipefail
cd "$(dirname "$0")"
. ../../scripts/build/static-programs.sh
title='The CNI plugin (plugin/)' constant=CNI_PROGRAMS sources=(plugin/*.c ../../src/freestanding/system.c)
static_programs "$@" <<'LIST'
x64 x86_64-linux-gnu-gcc
arm64 aarch64-linux-gnu-gcc
LIST
