import assert from "node:assert/strict";
import { test } from "node:test";
import { CniCalls, type CniCallsDeps } from "#router/cni/cni-calls.js";
import { silentLog } from "#src/log.js";

test("an error of another plugin is answered whole, and a part of it is logged", async () => {
  const logged: object[] = [];
  const calls = new CniCalls({
    attachments: { remove: async () => {} },
    log: { ...silentLog, warn: (_: string, fields: object) => void logged.push(fields) },
  } as unknown as CniCallsDeps);
  const configuration = { cniVersion: "1.0.0", name: "n", type: "weave-net", ipam: { type: "other" } };
  const variables = ["CNI_COMMAND=DEL", "CNI_CONTAINERID=c", "CNI_IFNAME=eth0", ""];
  const outcome = ["1", JSON.stringify({ code: 99, msg: "x".repeat(100_000) })];
  const body = Buffer.from([...variables, JSON.stringify(configuration), ...outcome].join("\0"));
  const answer = await calls.handle("net", body, new AbortController().signal);
  assert.equal(JSON.parse(String(answer.body)).msg, `other: ${"x".repeat(100_000)}`);
  assert.deepEqual(logged, [{ code: 99, why: `other: ${"x".repeat(493)}` }]);
});
