#!/usr/bin/env bash
# All tests: those that need no root, then those on real interfaces and with real Docker engines (skipped, with
# the reason, where they cannot run). Arguments go to node's test runner, as in `npm test -- --test-name-pattern=replay`.
#
#   test.sh --packaging    only the tests in test/packaging, with the slow ones, which `npm test` leaves out
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
# run CONCURRENCY FILE...: the files' tests. Without any file node would look for tests itself.
run() {
  local concurrency=$1
  shift
  [ $# -eq 0 ] ||
    node --test --test-concurrency="$concurrency" --test-reporter="${TEST_REPORTER:-spec}" "${arguments[@]}" "$@" || failed=1
}
files() { for folder in "$@"; do [ ! -d "dist/test/$folder" ] || find "dist/test/$folder" -name '*.test.js' | sort; done; }
# Each takes minutes; some make whole systems.
slow=/slow/
# What users do first, with the newest engine; npm run test:engines has all with each.
newest=29
with_newest=(dist/test/docker/{walkthrough,plugin}.test.js)
# Counts what small packets lose under a flood: it has the cores for itself.
alone=dist/test/host/fairness.test.js

if [ "${1:-}" = --packaging ]; then
  shift
  arguments=("$@")
  npm run --silent build:bundle -- --if-changed
  # They build, install and boot whole systems.
  run 1 $(files packaging)
  exit "$failed"
fi

arguments=("$@")
npm run --silent lint
npm run --silent build:bundle -- --if-changed
# Two files at a time: tests measure nothing, and those on real interfaces mostly wait for things.
run 2 $(files unit sim fuzz)
# What users run; it also starts in two thirds of the time.
export WEAVE_TEST_BUNDLE=1
run 1 "$alone"
run 2 $(files host docker runtimes packaging | grep -vF -e "$alone" -e "$slow")
if reason=$(scripts/engines.sh --check "$newest"); then
  echo "With engine $newest:"
  WEAVE_TEST_ENGINE=$newest run 2 "${with_newest[@]}"
else
  echo "The tests with the newest engine are left out: $reason; npm run test:engines makes it, in 4 to 40 minutes."
fi
exit "$failed"
