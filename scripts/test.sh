#!/usr/bin/env bash
# All tests: those that need no root, then those on real interfaces and with real Docker engines (which say so when they
# cannot run). Arguments go to node's test runner, as in `npm test -- --test-name-pattern=replay`.
set -euo pipefail
cd "$(dirname "$0")/.."

npm run --silent lint
# One file at a time: the host tests measure nothing, but wait for things, and there may be only two cores.
exec node --test --test-concurrency=1 --test-reporter="${TEST_REPORTER:-spec}" "$@" \
  $(find dist/test/unit dist/test/sim dist/test/fuzz dist/test/host dist/test/docker -name '*.test.js' | sort)
