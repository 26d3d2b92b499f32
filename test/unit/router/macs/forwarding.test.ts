import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { PeerPaths, RECONNECT_MS, SECRET_CHANGE_MS, WITHOUT_PATH_MS } from "#router/carriers/fastdp/peer-paths.js";
import { TunnelTables } from "#router/carriers/fastdp/tunnel-tables.js";
import { type EntryTable, Forwarding, type TunnelEntry } from "#router/macs/forwarding.js";
import { silentLog } from "#src/log.js";
import type { MacText } from "#src/mac.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

/** The kernel's tables in memory; those of the first call with `refuses` are refused. */
class Kernel implements EntryTable {
  readonly present = new Map<MacText, TunnelEntry>();
  calls: string[] = [];
  refuses = new Set<MacText>();

  async set(entries: readonly TunnelEntry[]) {
    this.calls.push(`set ${entries.length}`);
    for (const entry of entries) if (!this.refuses.has(entry.mac)) this.present.set(entry.mac, entry);
    return entries.filter(({ mac }) => this.refuses.has(mac)).map(({ mac }) => ({ mac, reason: "no room" }));
  }

  async remove(macs: readonly MacText[]) {
    this.calls.push(`remove ${macs.length}`);
    for (const mac of macs) this.present.delete(mac);
    return [];
  }

  entries = async () => new Map(this.present);

  async reconcile(wanted: ReadonlyMap<MacText, TunnelEntry>) {
    const stale = [...this.present.keys()].filter((mac) => !wanted.has(mac));
    for (const mac of stale) this.present.delete(mac);
    const missing = [...wanted.values()].filter((entry) => !isDeepStrictEqual(this.present.get(entry.mac), entry));
    for (const entry of missing) this.present.set(entry.mac, entry);
    return { added: missing.length, removed: stale.length, failures: [] };
  }

  via = (mac: MacText) => this.present.get(mac)?.via;
}

const [A, B] = ["02:00:00:00:00:0a", "02:00:00:00:00:0b"];
const mac = (index: number) =>
  `02:cc:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;
const PATH = { tunnel: "clear", host: "10.0.0.1", port: undefined } as const;

function make() {
  const kernel = new Kernel();
  const forwarding = new Forwarding(silentLog);
  forwarding.use(kernel);
  return { kernel, forwarding };
}

test("MACs of a peer are sent to the TAP, then to the tunnel while it carries frames, and to the TAP again", async () => {
  const { kernel, forwarding } = make();
  for (let i = 0; i < 1_000; i++) forwarding.place(mac(i), A);
  forwarding.place("02:dd:00:00:00:01", B);
  await forwarding.applied();
  assert.deepEqual(kernel.present.get(mac(1)), { mac: mac(1), via: "tap" });
  await forwarding.setPath(A, { ...PATH, carries: false });
  assert.deepEqual(kernel.present.get(mac(1)), { mac: mac(1), via: "tap", tunnel: "clear", host: "10.0.0.1" });
  await forwarding.setPath(A, { ...PATH, carries: true });
  assert.deepEqual(
    [kernel.via(mac(999)), kernel.via("02:dd:00:00:00:01"), forwarding.carried],
    ["vxlan", "tap", 1_000],
  );
  // In calls of some milliseconds each.
  assert.ok(
    kernel.calls.every((call) => Number(call.split(" ")[1]) <= 400),
    `${kernel.calls}`,
  );
  await forwarding.setPath(A, undefined);
  assert.deepEqual(kernel.present.get(mac(999)), { mac: mac(999), via: "tap" });
});

test("a MAC that moves follows its new peer, and one that no peer has is removed", async () => {
  const { kernel, forwarding } = make();
  await forwarding.setPath(A, { ...PATH, carries: true });
  forwarding.place(mac(1), B);
  forwarding.place(mac(1), A);
  await forwarding.applied();
  assert.equal(kernel.via(mac(1)), "vxlan");
  forwarding.place(mac(1), undefined);
  await forwarding.applied();
  assert.equal(kernel.present.size, 0);
});

test("what the kernel refuses is reported until it is repaired", async () => {
  const { kernel, forwarding } = make();
  kernel.refuses.add(mac(1));
  forwarding.place(mac(1), A);
  forwarding.place(mac(2), A);
  await forwarding.applied();
  assert.deepEqual(forwarding.failures, { count: 1, reason: "no room" });
  assert.equal(await forwarding.reconcile(), 1);
  assert.deepEqual([forwarding.failures.count, kernel.present.size], [0, 2]);
});

test("entries of an earlier process stay until their peer is decided, and stale ones go afterwards", async () => {
  const { kernel, forwarding } = make();
  const inherited = (index: number): TunnelEntry => ({
    mac: mac(index),
    via: "vxlan",
    tunnel: "clear",
    host: "10.0.0.1",
  });
  for (const index of [1, 2]) kernel.present.set(mac(index), inherited(index));
  await forwarding.inherit();
  assert.equal(await forwarding.reconcile(), 0);
  assert.deepEqual(
    [forwarding.hasInherited("clear", "10.0.0.1"), forwarding.hasInherited("clear", "10.0.0.2")],
    [true, false],
  );
  // Its peer announces it before the path is proven.
  forwarding.place(mac(1), A);
  await forwarding.applied();
  assert.equal(kernel.via(mac(1)), "vxlan");
  forwarding.disinherit();
  await forwarding.reconcile();
  assert.deepEqual([...kernel.present.values()], [{ mac: mac(1), via: "tap" }]);
});

/** Entries that an earlier process has left, of which A has announced the first. */
async function inheriting(isAllowed?: (entry: TunnelEntry) => boolean) {
  const clock = new VirtualClock();
  const { kernel, forwarding } = make();
  const hosts = { 1: "10.0.0.1", 2: "10.0.0.1", 3: "10.9.0.1" };
  for (const [index, host] of Object.entries(hosts))
    kernel.present.set(mac(Number(index)), { mac: mac(Number(index)), via: "vxlan", tunnel: "clear", host });
  await forwarding.inherit(isAllowed);
  await forwarding.reconcile();
  forwarding.place(mac(1), A);
  await forwarding.applied();
  const vias = () => [1, 2, 3].map((index) => kernel.via(mac(index)));
  return { clock, kernel, forwarding, vias, paths: new PeerPaths({ forwarding, clock }) };
}

test("what an earlier process sent in clear is taken over where the options allow that, and ends with an encrypted connection", async () => {
  const limited = await inheriting(({ host }) => host === "10.0.0.1");
  assert.deepEqual(limited.vias(), ["vxlan", "vxlan", undefined]);
  limited.paths.stop();
  const { forwarding, vias, paths } = await inheriting();
  paths.begin("clear", A, "10.0.0.1");
  await forwarding.applied();
  assert.deepEqual(vias(), ["vxlan", "vxlan", "vxlan"]);
  paths.begin("encrypted", A, "10.0.0.1");
  await forwarding.applied();
  assert.deepEqual(vias(), ["tap", undefined, "vxlan"]);
  paths.stop();
});

test("a peer that connects without a path of the kernel loses what an earlier process sent to it", async () => {
  const { clock, forwarding, vias, paths } = await inheriting();
  paths.setReachable(new Set([A]), () => true);
  await clock.run(WITHOUT_PATH_MS - 1_000);
  await forwarding.applied();
  assert.equal(vias()[0], "vxlan");
  await clock.run(3_000);
  await forwarding.applied();
  assert.deepEqual(vias(), ["tap", "vxlan", "vxlan"]);
  paths.stop();
});

test("a path in clear ends when the peer's connection is encrypted", async () => {
  const { forwarding, kernel } = make();
  const paths = new PeerPaths({ forwarding, clock: new VirtualClock() });
  forwarding.place(mac(1), A);
  const tunnel = await paths.connect(A, PATH, { setMtu() {}, ended() {} });
  tunnel.carry(true);
  tunnel.release();
  await forwarding.applied();
  assert.equal(kernel.via(mac(1)), "vxlan");
  paths.begin("encrypted", A, "10.0.0.1");
  await forwarding.applied();
  assert.equal(kernel.via(mac(1)), "tap");
  assert.equal(paths.leadTo(A), false);
  paths.stop();
});

test("a change of the network's secret ends the paths that have outlived their connections, and those that end soon after", async () => {
  const clock = new VirtualClock();
  const { forwarding, kernel } = make();
  const paths = new PeerPaths({ forwarding, clock });
  let secret: string | undefined;
  paths.followSecret(() => secret);
  const END = { setMtu() {}, ended() {} };
  const carried = async (peer: string, index: number) => {
    forwarding.place(mac(index), peer);
    const tunnel = await paths.connect(peer, PATH, END);
    tunnel.carry(true);
    await forwarding.applied();
    return tunnel;
  };
  (await carried(A, 1)).release();
  const soon = await carried(B, 2);
  await clock.run(10_000);
  assert.deepEqual([kernel.via(mac(1)), kernel.via(mac(2))], ["vxlan", "vxlan"]);
  secret = "the first order";
  soon.release();
  await forwarding.applied();
  assert.deepEqual([kernel.via(mac(1)), kernel.via(mac(2))], ["tap", "tap"]);
  await clock.run(SECRET_CHANGE_MS + 1_000);
  (await carried(B, 2)).release();
  await clock.run(5_000);
  assert.equal(kernel.via(mac(2)), "vxlan");
  secret = "the second order";
  await clock.run(2_000);
  await forwarding.applied();
  assert.equal(kernel.via(mac(2)), "tap");
  paths.stop();
});

test("each MAC is in the table of its peer's tunnel, and none of the others' entries is taken for a stale one", async () => {
  const [clear, encrypted] = [new Kernel(), new Kernel()];
  const tables = new TunnelTables(new Map([["clear", clear] as const, ["encrypted", encrypted] as const]));
  const forwarding = new Forwarding(silentLog);
  forwarding.use(tables);
  await forwarding.setPath(A, { ...PATH, carries: true });
  await forwarding.setPath(B, { tunnel: "encrypted", host: "128.0.0.1", port: undefined, carries: true });
  forwarding.place(mac(1), A);
  forwarding.place(mac(2), B);
  await forwarding.applied();
  assert.deepEqual([clear.via(mac(1)), clear.via(mac(2))], ["vxlan", undefined]);
  assert.deepEqual([encrypted.via(mac(1)), encrypted.via(mac(2))], [undefined, "vxlan"]);
  assert.equal(await forwarding.reconcile(), 0);
  assert.deepEqual([...(await tables.entries()).keys()].sort(), [mac(1), mac(2)]);
});

test("a path outlives its connection while no other route leads to the peer, and ends with a connection that does not use it", async () => {
  const clock = new VirtualClock();
  const { kernel, forwarding } = make();
  const paths = new PeerPaths({ forwarding, clock });
  let ended = 0;
  const END = { setMtu() {}, ended: () => void ended++ };
  forwarding.place(mac(1), A);
  const connect = async () => {
    const tunnel = await paths.connect(A, PATH, END);
    tunnel.carry(true);
    await forwarding.applied();
    return tunnel;
  };
  const first = await connect();
  first.release();
  paths.setReachable(new Set(), () => false);
  await clock.run(10 * RECONNECT_MS);
  assert.equal(kernel.via(mac(1)), "vxlan");

  // It connects again: frames go on, and the end of the first connection does not matter any more.
  const second = await paths.connect(A, PATH, END);
  assert.equal(kernel.via(mac(1)), "vxlan");
  first.carry(false);
  first.release();
  await forwarding.applied();
  assert.equal(kernel.via(mac(1)), "vxlan");

  second.release();
  paths.setReachable(new Set([A]), () => false);
  await clock.run(RECONNECT_MS - 1_000);
  await forwarding.applied();
  assert.equal(kernel.via(mac(1)), "vxlan");
  await clock.run(3_000);
  await forwarding.applied();
  assert.deepEqual(kernel.present.get(mac(1)), { mac: mac(1), via: "tap" });

  (await connect()).release();
  paths.setReachable(new Set([A]), (peer) => peer === A);
  await forwarding.applied();
  assert.equal(kernel.via(mac(1)), "tap");
  // One that carried nothing ends at once.
  const idle = await paths.connect(A, PATH, END);
  idle.release();
  await forwarding.applied();
  assert.equal(forwarding.pathTo(A), undefined);
  assert.equal(ended, 3);
  paths.stop();
});
