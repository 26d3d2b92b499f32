/** A link that drops everything silently: neither end is notified, and nothing is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inLab, type Lab } from "#test/lab/lab.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;

/** Before the connection itself was probed it took 68 s and more. */
const BOUND_MS = 20_000;

/** Drops what `match` matches on the wire between the second and the third host, both ways; undefined: nothing. */
async function cut(lab: Lab, match: string | undefined): Promise<void> {
  const rules = [
    ["p2", "p3"],
    ["p3", "p2"],
  ].map(([from, to]) => `add rule bridge cut forward iifname ${from} oifname ${to} ${match} drop`);
  const script = ["add table bridge cut", "delete table bridge cut"];
  const chain = "add chain bridge cut forward { type filter hook forward priority -200; }";
  if (match !== undefined) script.push("add table bridge cut", chain, ...rules);
  await lab.wire.must("nft", script.join("; "));
}

/** Pings five times a second until it is stopped; knows the longest time without an answer. */
class Pinger {
  readonly #child;
  #last = performance.now();
  #longest = 0;

  constructor(from: Namespace, address: string) {
    this.#child = from.spawn(["ping", "-n", "-i", "0.2", address]);
    this.#child.stdout!.on("data", (text: Buffer) => {
      if (!text.includes(" bytes from ")) return;
      const now = performance.now();
      this.#longest = Math.max(this.#longest, now - this.#last);
      this.#last = now;
    });
  }

  /** Since the last answer. */
  get silence(): number {
    return performance.now() - this.#last;
  }

  /** The longest time between two answers since this was asked last. */
  takeLongest(): number {
    const longest = this.#longest;
    this.#longest = 0;
    return longest;
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }
}

test("a link that drops everything is routed around, and used again afterwards", { skip, timeout: 300_000 }, (t) =>
  inLab(3, async (lab) => {
    const [h1, h2, h3] = lab.hosts;
    await Promise.all(lab.hosts.map((host) => host.launch()));
    await h2.ok("connect", h1.address);
    await h3.ok("connect", h1.address);
    for (const host of lab.hosts) await connected(host, 2, 30_000);
    const c2 = await h2.attach("c", "10.32.0.2/12");
    await h3.attach("c", "10.32.0.3/12");
    await until("a ping is answered", async () => (await c2.ping("10.32.0.3", { count: 1 })) === 1);
    const relayed = async () => Number(await h1.report("{{.Router.CaptureStats.recordsRelayed}}"));

    const outage = async (name: string, before: string | undefined) => {
      await cut(lab, before);
      const pinger = new Pinger(c2, "10.32.0.3");
      try {
        await until("pings are answered", () => pinger.silence < 300);
        const through = await relayed();
        await cut(lab, "counter");
        await until("the link is dead", () => pinger.silence > 1_500);
        pinger.takeLongest();
        await until("pings are answered again", () => pinger.silence < 300, 120_000);
        const gap = pinger.takeLongest();
        t.diagnostic(`${name}: ${(gap / 1_000).toFixed(1)} s without an answer`);
        assert.ok((await relayed()) > through, "the first host relays");
        assert.ok(gap < BOUND_MS, `${name}: ${(gap / 1_000).toFixed(1)} s`);
        await cut(lab, before);
        const back = performance.now();
        await connected(h2, 2, 120_000);
        await connected(h3, 2, 120_000);
        t.diagnostic(`${name}: the link is used again after ${((performance.now() - back) / 1_000).toFixed(1)} s`);
      } finally {
        pinger.stop();
      }
    };
    await outage("frames by UDP", undefined);
    await cut(lab, "ip protocol udp");
    const streaming = async () => (await h2.ok("status", "connections")).includes(" stream ");
    await until("frames go by TCP", streaming, 60_000);
    await until("a ping is answered", async () => (await c2.ping("10.32.0.3", { count: 1 })) === 1);
    await outage("frames by TCP", "ip protocol udp");
    // Whatever way the frames took, no record and no MAC was refused.
    for (const host of lab.hosts) {
      const { Drops, FrameClaims } = JSON.parse(await host.report("{{json .Router}}"));
      assert.equal(Drops["source-refused"], 0, `${host.name}: ${JSON.stringify(FrameClaims.Sources)}`);
      assert.ok(FrameClaims.MACs.every(({ Held }: { Held: number }) => Held === 0));
      t.diagnostic(`${host.name}: relayed before their route was known: ${JSON.stringify(FrameClaims.Sources)}`);
    }
  }),
);
