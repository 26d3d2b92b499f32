import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { ContainerAttachments } from "#docker/container-attachments.js";
import { Attacher } from "#docker/containers/attacher.js";
import { type Container, containerShape } from "#docker/engine/shapes.js";
import { attachStarted } from "#docker/proxy/start-call.js";
import { silentLog } from "#src/log.js";

// The timers of waits do not keep the process alive; this one does.
const alive = setInterval(() => {}, 1_000);
after(() => clearInterval(alive));

const container = containerShape.parse({
  Id: "c",
  State: { Running: true, Pid: 1, StartedAt: "now" },
  Config: { Entrypoint: ["/.weave/w", "x"] },
  HostConfig: { Binds: ["/var/lib/weave/w:/.weave:ro"] },
  NetworkSettings: {},
});
const foreign = { ...container, HostConfig: { ...container.HostConfig, Binds: [] } };

function attacherWith(attach: ContainerAttachments["attach"], ipam: object | null = {}): Attacher {
  return new Attacher(
    { attachments: { attach }, ipam: ipam ?? undefined, log: silentLog },
    { rewriteHosts: false, multicastRoute: false },
  );
}

/** Stands for ContainerTracker.serveStarted: runs the work on a running container. */
const started = (work: (container: Container, signal: AbortSignal) => Promise<void>, each = container) =>
  work(each, new AbortController().signal);
const never = () => new Promise<never>(() => {});

test("a start whose container gets no address in time fails", async () => {
  const attacher = attacherWith(never);
  const containers = { serveStarted: (_id: string, work: Parameters<typeof started>[0]) => started(work) };
  await assert.rejects(
    attachStarted(container, { containers, attacher }, 10),
    /it was not on the network within 0\.01 s/,
  );
});

test("a start fails for the reason for which its container cannot be attached", async () => {
  const attacher = attacherWith(() => Promise.reject(new Error("no space")));
  const containers = { serveStarted: (_id: string, work: Parameters<typeof started>[0]) => started(work) };
  await assert.rejects(attachStarted(container, { containers, attacher }), /no space/);
});

test("a start succeeds when its container is attached, or was not created through the proxy", async () => {
  const attached: number[] = [];
  const attacher = attacherWith(async ({ pid }) => {
    attached.push(pid);
    return ["10.32.0.1/12"];
  });
  for (const each of [container, foreign]) {
    const containers = { serveStarted: (_id: string, work: Parameters<typeof started>[0]) => started(work, each) };
    await attachStarted(each, { containers, attacher });
  }
  assert.deepEqual(attached, [1]);
  assert.deepEqual(attacher.addressesOf("c"), ["10.32.0.1"]);
});

test("an observer that is late does not fail the start of an attached container", async () => {
  const attacher = attacherWith(async () => []);
  const containers = {
    serveStarted: async (_id: string, work: Parameters<typeof started>[0]) => {
      await started(work);
      await never();
    },
  };
  await attachStarted(container, { containers, attacher }, 10);
});

test("exec waits for the first attempt to attach, up to its limit", async () => {
  const attacher = attacherWith(never);
  void attacher.running(container, new AbortController().signal);
  await attacher.firstAttempt(container, 10);
  let ended = false;
  const waiting = attacher.firstAttempt(container, 60_000).then(() => {
    ended = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(!ended);
  attacher.ended("c");
  await waiting;
});

test("exec does not wait in a container that was not created through the proxy", async () => {
  await attacherWith(never).firstAttempt(foreign, 60_000);
});

test("exec does not wait after a failed attempt", async () => {
  const stop = new AbortController();
  const attacher = attacherWith(() => Promise.reject(new Error("no space")));
  const first = attacher.firstAttempt(container, 60_000);
  void attacher.running(container, stop.signal);
  await first;
  await attacher.firstAttempt(container, 60_000);
  stop.abort();
});

test("a container that cannot be attached is retried until its run ends", async () => {
  const stop = new AbortController();
  let attempts = 0;
  const attacher = attacherWith(() => {
    attempts++;
    return Promise.reject(new Error("no space"));
  });
  const work = attacher.running(container, stop.signal);
  await attacher.firstAttempt(container, 60_000);
  stop.abort();
  await work;
  assert.equal(attempts, 1);
  assert.ok(!attacher.isAttached(container));
});

test("an attachment that completes after an abort counts for the same run", async () => {
  let attempts = 0;
  const first = new AbortController();
  const attacher = attacherWith(async () => {
    attempts++;
    first.abort();
    return ["10.32.0.1/12"];
  });
  await attacher.attach(container, first.signal);
  await attacher.attach(container, new AbortController().signal);
  assert.equal(attempts, 1);
});

test("without address allocation a container needs to name its addresses", async () => {
  const attacher = attacherWith(async ({ wanted }) => wanted.map(() => "10.2.1.1/24"), null);
  await assert.rejects(attacher.attach(container, new AbortController().signal), /a container needs WEAVE_CIDR/);
  const named = { ...container, Config: { ...container.Config, Env: ["WEAVE_CIDR=10.2.1.1/24"] } };
  await attacher.attach(named, new AbortController().signal);
  assert.deepEqual(attacher.addressesOf("c"), ["10.2.1.1"]);
});
