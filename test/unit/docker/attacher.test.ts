import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Attacher } from "#docker/containers/attacher.js";
import { containerShape } from "#docker/engine/shapes.js";
import type { Requests } from "#ipam/allocation/requests.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { silentLog } from "#src/log.js";

// The timers of waits keep no process alive.
const alive = setInterval(() => {}, 1_000);
after(() => clearInterval(alive));

const container = containerShape.parse({
  Id: "c",
  State: { Running: true, Pid: 1, StartedAt: "now" },
  Config: { Entrypoint: ["/.weave/w", "x"] },
  HostConfig: { Binds: ["/var/lib/weave/w:/.weave:ro"] },
  NetworkSettings: {},
});

/** An attacher whose addresses are given, or refused, by `allocate`. */
function attacher(allocate: () => Promise<never>): Attacher {
  const ipam = { requests: { allocate } as unknown as Requests, defaultSubnet: parseSubnet("10.32.0.0/12") };
  return new Attacher({ bridge: "none", mtu: 1376, ipam, rewriteHosts: false, multicastRoute: false, log: silentLog });
}

test("a start whose container gets no address, and no answer, fails after its time", async () => {
  const observer = attacher(() => new Promise(() => {}));
  observer.expect("c");
  void observer.running(container, AbortSignal.timeout(5_000));
  await observer.givenUp("c", 10);
  assert.throws(() => observer.outcome("c"), /it was not on the network within 0\.01 s/);
  assert.doesNotThrow(() => observer.outcome("c"), "once");
});

test("exec waits until the network has come or failed, or for its time; in a container of others not at all", async () => {
  const stop = new AbortController();
  const silent = attacher(() => new Promise(() => {}));
  void silent.running(container, stop.signal);
  await silent.settled(container, 10);
  let ended = false;
  const waiting = silent.settled(container, 60_000).then(() => {
    ended = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(!ended);
  silent.ended("c");
  await waiting;
  await silent.settled({ ...container, HostConfig: { ...container.HostConfig, Binds: [] } }, 60_000);
  const refused = attacher(() => Promise.reject(new Error("no space")));
  const settled = refused.settled(container, 60_000);
  void refused.running(container, stop.signal);
  await settled;
  // Known to have failed: nothing more is waited for, until its next start.
  await refused.settled(container, 60_000);
  stop.abort();
});
