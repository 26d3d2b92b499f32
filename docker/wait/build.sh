#!/usr/bin/env bash
# Builds wait.c for each architecture, and writes programs.ts. Needs Debian's cross compilers:
#   apt-get install gcc gcc-{aarch64,riscv64,powerpc64le,s390x}-linux-gnu gcc-arm-linux-gnueabihf
# build.sh --native FILE builds it for this machine alone.
set -euo pipefail
cd "$(dirname "$0")"

flags=(-Os -static -nostdlib -nostartfiles -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables
  -fno-builtin -fno-tree-loop-distribute-patterns -fno-pic -no-pie -fcf-protection=none -Wall -Wextra -Werror -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,norelro -s)

build() { # COMPILER FILE
  local own=("${flags[@]}")
  "$1" -fcf-protection=none -E -x c /dev/null >/dev/null 2>&1 || own=("${flags[@]/-fcf-protection=none/}")
  # shellcheck disable=SC2068
  "$1" ${own[@]} -o "$2" wait.c
  "${1%gcc}strip" -R .comment -R .note.gnu.property -R .gnu.attributes -R .ARM.attributes -R .riscv.attributes "$2"
}

if [ "${1:-}" = --native ]; then build gcc "$2"; exit; fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
{
  cat <<'HEAD'
/**
 * wait.c for each architecture, as `process.arch` calls them: static ELF programs, in base64. Made by build.sh; a test
 * builds the source again, and compares what the programs do.
 */
export const PROGRAMS: Readonly<Record<string, string>> = {
HEAD
  while read -r arch compiler; do
    build "$compiler" "$dir/$arch"
    printf '  %s:\n    "%s",\n' "$arch" "$(base64 -w0 "$dir/$arch")"
  done <<'LIST'
x64 x86_64-linux-gnu-gcc
arm64 aarch64-linux-gnu-gcc
arm arm-linux-gnueabihf-gcc
riscv64 riscv64-linux-gnu-gcc
ppc64 powerpc64le-linux-gnu-gcc
s390x s390x-linux-gnu-gcc
LIST
  echo '};'
} >"$dir/programs.ts"
mv "$dir/programs.ts" programs.ts
