#!/usr/bin/env bash
# All tests: those that need no root, then those on real interfaces and with real Docker engines (which say so when they
# cannot run). Arguments go to node's test runner, as in `npm test -- --test-name-pattern=replay`.
set -euo pipefail
cd "$(dirname "$0")/.."

npm run --silent lint
run() {
  local concurrency=$1
  shift
  node --test --test-concurrency="$concurrency" --test-reporter="${TEST_REPORTER:-spec}" "$@"
}
files() { for folder in "$@"; do find "dist/test/$folder" -name '*.test.js' | sort; done; }

# What needs no root can share two cores. The host tests go one file at a time: they measure nothing, but wait for things.
failed=0
run 2 "$@" $(files unit sim fuzz) || failed=1
run 1 "$@" $(files host docker) || failed=1
exit "$failed"
