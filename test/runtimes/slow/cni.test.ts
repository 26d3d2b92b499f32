import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { allocated, runtimeTest } from "#test/lab/cni-runtime.js";

const NETWORK = { cniVersion: "1.0.0", name: "net", type: "weave-net" };

runtimeTest(
  "a router that hangs: DEL succeeds, and the router repeats it before the next call",
  1,
  async ([runtime]) => {
    const { host } = runtime;
    const container = await runtime.container("a");
    await runtime.must("ADD", NETWORK, container);
    const router = host.routerPid!;
    process.kill(router, "SIGSTOP");
    try {
      assert.equal((await runtime.call("DEL", NETWORK, container)).code, 0);
      assert.equal(readdirSync(runtime.releases).length, 1);
      assert.equal((await runtime.call("CHECK", NETWORK, container)).json.code, 11);
    } finally {
      process.kill(router, "SIGCONT");
    }
    const { ips } = await runtime.must("ADD", NETWORK, container);
    assert.deepEqual(readdirSync(runtime.releases), []);
    assert.deepEqual([...(await allocated(host)).values()], [[ips[0].address]]);
  },
);

/** A generator of numbers below a limit, which a seed repeats (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const FULL = {
  cniVersion: "1.1.0",
  name: "net",
  type: "weave-net",
  mtu: 1_300,
  hairpinMode: true,
  bridge: "weave",
  ipam: { type: "weave-ipam", subnet: "10.32.0.0/12", gateway: "10.32.0.1", routes: [{ dst: "0.0.0.0/0" }] },
  dns: { nameservers: ["10.32.0.1"], search: ["weave.local"] },
  runtimeConfig: { ips: ["10.32.0.9/12"], mac: "02:00:00:00:00:09", aliases: ["web"] },
  prevResult: {
    cniVersion: "1.1.0",
    interfaces: [{ name: "x", sandbox: "/x" }],
    ips: [{ address: "10.1.0.1/24", interface: 0 }],
  },
  "cni.dev/valid-attachments": [{ containerID: "a", ifname: "eth0" }],
};
const VALUES = [
  null,
  true,
  -1,
  1e300,
  "",
  "x".repeat(5_000),
  "10.32.0.0/33",
  "\u0000",
  [],
  {},
  [[]],
  { type: {} },
  "::/0",
];

/** Replaces or removes a field somewhere in a configuration. */
function changed(value: unknown, next: (below: number) => number): unknown {
  if (typeof value !== "object" || value === null || next(4) === 0) return VALUES[next(VALUES.length)];
  const copy = structuredClone(value) as Record<string, unknown>;
  const keys = Object.keys(copy);
  const key = keys[next(keys.length)];
  if (next(5) === 0) delete copy[key];
  else copy[key] = changed(copy[key], next);
  return copy;
}

/** Changes a byte of a text, or cuts it. */
function damaged(text: string, next: (below: number) => number): string {
  const at = next(text.length);
  return next(2) === 0 ? text.slice(0, at) : text.slice(0, at) + String.fromCharCode(next(256)) + text.slice(at + 1);
}

runtimeTest(
  "any configuration is answered with a result or an error object, and nothing is left",
  1,
  async ([runtime]) => {
    const { host } = runtime;
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
    const next = random(seed);
    const router = host.routerPid;
    const container = await runtime.container("a");
    const commands = ["ADD", "ADD", "CHECK", "DEL", "GC", "STATUS"];
    for (let run = 0; run < 400; run++) {
      let configuration: unknown = FULL;
      for (let count = next(3); count >= 0; count--) configuration = changed(configuration, next);
      const text = JSON.stringify(configuration);
      const input = next(4) === 0 && text.length > 0 ? damaged(text, next) : text;
      const command = commands[next(commands.length)];
      const { code, json, stdout, stderr } = await runtime.call(command, input, container);
      const what = `SEED=${seed}, run ${run}: ${command} ${input.slice(0, 2_000)}: ${stdout.slice(0, 2_000)}${stderr}`;
      assert.ok(code === 0 || (code === 1 && json.code > 0 && json.msg !== ""), what);
      if (code === 0 && command === "ADD") assert.ok(json.cniVersion !== undefined, what);
      if (code === 0 && command === "ADD") await runtime.call("DEL", input, container);
    }
    for (const name of ["net", "x"]) await runtime.call("DEL", { ...NETWORK, name }, container);
    assert.equal(host.routerPid, router, "the router is the same");
    assert.deepEqual([...(await allocated(host)).keys()], [], `SEED=${seed}`);
  },
);
