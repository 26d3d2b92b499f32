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

# Two files at a time: tests measure nothing, and those on real interfaces mostly wait for things. One counts what small packets
# lose under a flood: it has the cores for itself.
alone=dist/test/host/fairness.test.js
failed=0
run 2 "$@" $(files unit sim fuzz) || failed=1
run 1 "$@" "$alone" || failed=1
run 2 "$@" $(files host docker | grep -vF "$alone") || failed=1
exit "$failed"
