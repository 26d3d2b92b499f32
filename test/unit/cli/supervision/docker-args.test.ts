import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDockerArgs } from "#cli/supervision/container/docker-args.js";

test("flags of docker run become settings of the router's container", () => {
  const text =
    "-e A=1 --env=B=x=y -l team=net -v /srv:/srv:ro --log-driver journald --log-opt tag=weave -m 256m --cpus 1.5";
  assert.deepEqual(parseDockerArgs(text), {
    env: ["A=1", "B=x=y"],
    labels: { team: "net" },
    binds: ["/srv:/srv:ro"],
    hostConfig: {
      LogConfig: { Type: "journald", Config: { tag: "weave" } },
      Memory: 256 << 20,
      NanoCpus: 1_500_000_000,
    },
  });
  assert.deepEqual(parseDockerArgs("  "), { env: [], labels: {}, binds: [], hostConfig: {} });
});

test("flags that a router cannot have, missing and bad values are rejected", () => {
  for (const [text, reason] of [
    ["--network none", /'--network' is none of -e, /],
    ["word", /'word' is none of/],
    ["-e", /-e has no value/],
    ["--label=", /--label has no value/],
    ["-m much", /the memory 'much' is no number/],
    ["--cpus -1", /--cpus '-1' is no number/],
  ] as const)
    assert.throws(() => parseDockerArgs(text), { code: "WEAVE_FLAG_INVALID", message: reason }, text);
});
