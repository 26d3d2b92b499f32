#!/usr/bin/env bash
# Builds wait.c for each architecture that Docker runs on, and writes programs.ts. Needs Debian's cross compilers:
#   apt-get install gcc gcc-{aarch64,riscv64,powerpc64le,s390x}-linux-gnu gcc-arm-linux-gnueabihf
# build.sh --native FILE builds it only for this machine.
set -euo pipefail
cd "$(dirname "$0")"
. ../../scripts/build/static-programs.sh
title='The waiting helper (wait.c)' constant=PROGRAMS sources=(wait.c)
static_programs "$@" <<'LIST'
x64 x86_64-linux-gnu-gcc
arm64 aarch64-linux-gnu-gcc
arm arm-linux-gnueabihf-gcc
riscv64 riscv64-linux-gnu-gcc
ppc64 powerpc64le-linux-gnu-gcc
s390x s390x-linux-gnu-gcc
LIST
