#!/usr/bin/env bash
# test-engines.sh [ENGINE...] [FILE...] [FLAG...]: the Docker tests, with the slow ones, on each of these engines, by default all
# that scripts/engines.sh knows; it makes those that are missing. A file is one of test/docker; flags, written with "=" if
# they have a value, go to node's test runner: --test-name-pattern=restart.
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
[ ${#engines[@]} -gt 0 ] || engines=(20.10 26.1 29)
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(find dist/test/docker -name '*.test.js' | sort)

scripts/engines.sh "${engines[@]}"
npm run --silent build:bundle -- --if-changed
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
failed=0
for engine in "${engines[@]}"; do
  printf '\nEngine %s\n' "$engine"
  began=$SECONDS
  WEAVE_TEST_ENGINE=$engine node --test --test-concurrency=2 \
    --test-reporter="${TEST_REPORTER:-spec}" --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$results/$engine" "${flags[@]}" "${files[@]}" || failed=1
  echo "$((SECONDS - began))" >"$results/$engine.seconds"
done

printf '\n%-8s %6s %6s %6s %8s %8s\n' engine tests pass fail skipped seconds
for engine in "${engines[@]}"; do
  count() { awk -v key="$1" '$1 == "#" && $2 == key { print $3 }' "$results/$engine"; }
  printf '%-8s %6s %6s %6s %8s %8s\n' "$engine" "$(count tests)" "$(count pass)" "$(count fail)" "$(count skipped)" \
    "$(cat "$results/$engine.seconds")"
  # Those of the files themselves, and of steps within a test, are indented or named after files.
  sed -n 's/^ *not ok [0-9]* - /           failed: /p' "$results/$engine" | grep -v ' # SKIP' || true
done
exit "$failed"
