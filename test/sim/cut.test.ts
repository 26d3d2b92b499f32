/** Links that are cut silently: two peers, and a third that both reach. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Datagrams } from "./datagrams.js";
import { Network, type SimulatedPeer } from "./network.js";

const FIND_MS = 15_000;
const STEP_MS = 100;

type Protocols = readonly ("tcp" | "udp")[];

/** Three peers that frames pass between. */
class Triangle {
  readonly network: Network;
  readonly datagrams: Datagrams;
  readonly relay: SimulatedPeer;
  readonly a: SimulatedPeer;
  readonly b: SimulatedPeer;
  frames: "small" | "large" | undefined;
  #framesAt = 0;

  constructor(seed: number) {
    this.network = new Network(seed);
    this.datagrams = new Datagrams(this.network);
    [this.relay, this.a, this.b] = [0, 1, 2].map((i) => this.datagrams.start(i));
    this.network.connect(this.a, this.relay);
    this.network.connect(this.b, this.relay, this.a);
  }

  /** Drops packets from one of the two to the other; `both`: and back. */
  cut(protocols: Protocols, both = true): void {
    this.network.drops = (protocol, from, to) =>
      protocols.includes(protocol) &&
      ((from === this.a.host && to === this.b.host) || (both && from === this.b.host && to === this.a.host));
  }

  /** Lets time pass; returns the longest time in which a frame did not get to the other one and back. */
  async run(ms: number, watch: () => void = () => {}): Promise<number> {
    let longest = 0;
    let since = this.network.clock.now();
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      await this.network.clock.run(STEP_MS);
      const now = this.network.clock.now();
      if (this.frames !== undefined && now >= this.#framesAt) {
        this.#framesAt = now + 1_000;
        for (const peer of [this.a, this.b]) this.datagrams.frames(peer, this.frames === "large");
      }
      if (this.datagrams.reaches(this.a, this.b) && this.datagrams.reaches(this.b, this.a)) since = now;
      longest = Math.max(longest, now - since);
      watch();
    }
    return longest;
  }

  get direct(): "sleeve" | "stream" | undefined {
    const [there, back] = [
      [this.a, this.b],
      [this.b, this.a],
    ].map(([from, to]) => {
      const connection = from.mesh.connectionTo(to.name);
      return connection?.state === "established" ? connection.overlay?.name : undefined;
    });
    return there === back ? (there as "sleeve" | "stream" | undefined) : undefined;
  }

  terminations(): number {
    return this.a.mesh.status().terminations + this.b.mesh.status().terminations;
  }
}

test("a link that is cut both ways, or one way, is routed around in 15 s, and used again when it is back", async () => {
  let worst = 0;
  const cases = [
    ["small", true],
    ["large", false],
    [undefined, true],
    [undefined, false],
  ] as const;
  for (const [frames, both] of cases)
    for (const offset of [0, 2_900]) {
      const triangle = new Triangle(offset + 1);
      triangle.frames = frames;
      await triangle.run(30_000 + offset);
      assert.equal(triangle.direct, "sleeve");
      triangle.cut(["udp", "tcp"], both);
      const gap = await triangle.run(20_000);
      worst = Math.max(worst, gap);
      const what = `${frames ?? "no"} frames, ${both ? "both ways" : "one way"}: ${gap} ms`;
      assert.ok(gap > 0 && gap <= FIND_MS, what);
      // While it is cut the route is stable.
      assert.equal(await triangle.run(60_000), 0, what);
      triangle.cut([]);
      assert.ok((await triangle.run(90_000)) <= 1_000, `${what}: the way back`);
      assert.equal(triangle.direct, "sleeve", what);
    }
  assert.ok(worst <= 13_000, `${worst} ms`);
});

test("a short cut ends no connection", async () => {
  const triangle = new Triangle(3);
  await triangle.run(30_000);
  const before = triangle.terminations();
  triangle.cut(["udp", "tcp"]);
  await triangle.run(20_000);
  assert.equal(triangle.direct, undefined);
  triangle.cut([]);
  await triangle.run(30_000);
  assert.equal(triangle.direct, "sleeve");
  assert.equal(triangle.terminations(), before);
});

test("a link that never passed UDP is routed around in 15 s as well", async () => {
  for (const both of [true, false]) {
    const triangle = new Triangle(4);
    triangle.cut(["udp"]);
    await triangle.run(90_000);
    assert.equal(triangle.direct, "stream");
    triangle.network.drops = (
      (udp) => (protocol, from, to) =>
        udp("udp", from, to) || (protocol === "tcp" && from === triangle.a.host && to === triangle.b.host && !both)
    )(triangle.network.drops);
    if (both) triangle.cut(["udp", "tcp"]);
    const gap = await triangle.run(20_000);
    assert.ok(gap > 0 && gap <= FIND_MS, `${both ? "both ways" : "one way"}: ${gap} ms`);
  }
});

test("where UDP alone is lost, frames go by TCP after 12 s; the link stays established", async () => {
  const triangle = new Triangle(5);
  await triangle.run(30_000);
  triangle.cut(["udp"]);
  const pending = () => {
    for (const [from, to] of [
      [triangle.a, triangle.b],
      [triangle.b, triangle.a],
    ])
      assert.equal(from.mesh.connectionTo(to.name)?.state, "established");
  };
  const gap = await triangle.run(30_000, pending);
  assert.ok(gap > 0 && gap <= 12_500, `${gap} ms`);
  assert.equal(triangle.direct, "stream");
  assert.equal(await triangle.run(300_000, pending), 0);
  triangle.cut([]);
  await triangle.run(15_000, pending);
  assert.equal(triangle.direct, "sleeve");
});

test("where TCP alone is lost, frames go on by UDP until the connection ends, and then through the third", async () => {
  const triangle = new Triangle(6);
  await triangle.run(30_000);
  triangle.cut(["tcp"]);
  assert.equal(await triangle.run(20_000), 0);
  assert.equal(triangle.direct, "sleeve");
  assert.ok((await triangle.run(80_000)) <= 1_000);
  assert.equal(triangle.a.mesh.connectionTo(triangle.b.name), undefined);
});

test("a loss of 30 % each way ends no link, and takes none out of the routes; where UDP is blocked, for 2 % of the time at most", async () => {
  for (const udp of [true, false]) {
    const triangle = new Triangle(9);
    if (!udp) triangle.cut(["udp"]);
    await triangle.run(60_000);
    const before = triangle.terminations();
    const { random } = triangle.network;
    triangle.network.drops = (protocol) => random.below(100) < 30 || (protocol === "udp" && !udp);
    let [pending, all] = [0, 0];
    await triangle.run(600_000, () => {
      for (const { mesh } of [triangle.a, triangle.b]) {
        const { connections } = mesh.status();
        all += connections.length;
        pending += connections.filter(({ state }) => state !== "established").length;
      }
    });
    assert.ok(pending <= (udp ? 0 : 0.02) * all, `${pending} of ${all}, UDP ${udp ? "passes" : "is blocked"}`);
    assert.equal(triangle.terminations(), before);
  }
});

test("an idle router with 30 peers sends less than 1 kB/s, headers of TCP and its answers included", async () => {
  const peers = 6;
  const network = new Network(8);
  const datagrams = new Datagrams(network);
  const all = Array.from({ length: peers }, (_, i) => datagrams.start(i));
  for (let i = 1; i < peers; i++) network.connect(all[i], all[0]);
  await network.clock.run(120_000);
  for (const { mesh } of all) assert.equal(mesh.status().connections.length, peers - 1);
  datagrams.bytes.clear();
  const [bytes, messages] = [network.bytes, network.messages];
  const seconds = 240;
  await network.clock.run(seconds * 1_000);
  const udp = [...datagrams.bytes.values()].reduce((sum, each) => sum + each, 0);
  // A WebSocket header, two IP and TCP headers with time stamps: one of the message and one of its acknowledgement.
  const tcp = network.bytes - bytes + (network.messages - messages) * (6 + 2 * 52);
  const rate = (udp + tcp) / seconds / peers / (peers - 1);
  assert.ok(rate * 30 < 1_000, `${rate.toFixed(1)} B/s a peer, ${(udp / (udp + tcp)).toFixed(2)} of it UDP`);
});
