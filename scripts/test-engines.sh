#!/usr/bin/env bash
# test-engines.sh [ENGINE...] [FILE...] [FLAG...]: the Docker tests, with the slow ones, on each of these engines; it makes those
# that are missing. Without any engine on all that scripts/engines.sh knows, then the tests of other runtimes. A file is one
# of test/docker; flags, written with "=" if they have a value, go to node's test runner: --test-name-pattern=restart.
set -euo pipefail
cd "$(dirname "$0")/.."

engines=() files=() flags=()
for argument in "$@"; do
  case $argument in
    -*) flags+=("$argument") ;;
    *.test.ts | *.test.js)
      file=${argument#./}
      file=dist/${file#dist/}
      file=${file%.ts}
      files+=("${file%.js}.js")
      [ -e "${files[-1]}" ] || { echo "test-engines.sh: there is no $argument" >&2; exit 2; }
      ;;
    *) engines+=("$argument") ;;
  esac
done
all() { [ ! -d "dist/test/$1" ] || find "dist/test/$1" -name '*.test.js' | sort; }
runtimes=()
if [ ${#engines[@]} = 0 ]; then
  mapfile -t engines < <(scripts/engines.sh --list)
  [ ${#files[@]} -gt 0 ] || mapfile -t runtimes < <(all runtimes)
fi
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(all docker)

scripts/engines.sh "${engines[@]}"
npm run --silent build:bundle -- --if-changed
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
failed=0
# run NAME FILE...: the files' tests, whose results are kept under a name
run() {
  local name=$1 began=$SECONDS
  shift
  printf '\n%s\n' "$name"
  node --test --test-concurrency=2 \
    --test-reporter="${TEST_REPORTER:-spec}" --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$results/$name" "${flags[@]}" "$@" || failed=1
  echo "# elapsed $((SECONDS - began))" >>"$results/$name"
}
for engine in "${engines[@]}"; do
  WEAVE_TEST_ENGINE=$engine run "engine $engine" "${files[@]}"
done
[ ${#runtimes[@]} = 0 ] || run runtimes "${runtimes[@]}"

printf '\n%-14s %6s %6s %6s %8s %8s\n' "" tests pass fail skipped seconds
for result in "$results"/*; do
  count() { awk -v key="$1" '$1 == "#" && $2 == key { print $3 }' "$result"; }
  printf '%-14s %6s %6s %6s %8s %8s\n' "$(basename "$result")" "$(count tests)" "$(count pass)" "$(count fail)" "$(count skipped)" "$(count elapsed)"
  sed -n '/ # SKIP/d; s/^ *not ok [0-9]* - /                 failed: /p' "$result"
done
exit "$failed"
