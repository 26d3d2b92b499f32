#!/usr/bin/env bash
# Builds the supervisor for each architecture that weave runs on: linux-x64 and linux-arm64, which are in git. Needs:
#   apt-get install gcc gcc-aarch64-linux-gnu linux-libc-dev linux-libc-dev-arm64-cross
# build.sh --native FILE [FLAG…] builds it only for this machine.
set -euo pipefail
cd "$(dirname "$0")"
. ../../scripts/build/static-programs.sh
sources=(supervisor.c log.c ../../src/freestanding/system.c)
if [ "${1:-}" = --native ]; then
  build gcc "${@:2}"
else
  build x86_64-linux-gnu-gcc linux-x64
  build aarch64-linux-gnu-gcc linux-arm64
fi
