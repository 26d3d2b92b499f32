import assert from "node:assert/strict";
import { test } from "node:test";
import type { NameRecord } from "#dns/name-record.js";
import type { PeerRecord } from "#mesh/peer.js";
import type { EndpointFacts, ProbeQuestion } from "#router/probes/facts.js";
import { type Located, Locator, type LocatorDeps, type NotLocated } from "#router/probes/locator.js";
import { Tracer } from "#router/probes/tracer.js";

const [H1, H2, H3, GONE] = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:04"];
const [MAC_A, MAC_B] = ["0a:00:00:00:00:0a", "0a:00:00:00:00:0b"];
const NONE = { sent: 0, times: [] };

const endpoint = (id: string, mac: string, address: string): EndpointFacts => ({
  ...{ id, name: "", state: "running", mac, addresses: [`${address}/12`], port: "vethwepl1" },
  ...{ portState: "forwarding", isolated: false, up: true, mtu: 1_376, arp: NONE },
});
const record = (hostname: string, address: string, ident: string, origin: string): NameRecord => ({
  ...{ hostname, address, ident, origin, version: 1, tombstone: 0 },
});

/** What each host has, by subject of a question. */
interface Network {
  readonly hosts?: Readonly<Record<string, Readonly<Record<string, readonly EndpointFacts[]>>>>;
  /** Hosts that answer no question. */
  readonly silent?: readonly string[];
  readonly records?: readonly NameRecord[];
  readonly macs?: Readonly<Record<string, string>>;
  readonly arp?: Readonly<Record<string, readonly string[]>>;
  /** Nicknames other than usual. */
  readonly nicknames?: Readonly<Record<string, string>>;
  /** Owner of all addresses. */
  readonly owner?: string;
}

function locatorOn(network: Network) {
  const asked: string[] = [];
  const peer = (name: string, nickname: string) =>
    ({ name, nickname: network.nicknames?.[name] ?? nickname }) as PeerRecord;
  const deps = {
    self: H1,
    mesh: {
      status: () => ({ peers: [peer(H1, "h1"), peer(H2, "h2"), peer(H3, "h3")], suspended: [peer(GONE, "gone")] }),
      peer: (name: string) => [peer(H2, "h2"), peer(H3, "h3")].find((each) => each.name === name),
    },
    directory: { isKnown: (who: string) => who === "long-gone", nickname: (name: string) => `h${name.slice(-1)}` },
    macs: { at: (mac: string) => network.macs?.[mac] },
    prober: { arp: async (address: string) => ({ ...NONE, macs: network.arp?.[address] ?? [] }) },
    allocator:
      network.owner === undefined
        ? undefined
        : {
            range: { start: 0x0a200000n, end: 0x0a300000n, prefix: 12, text: "10.32.0.0/12" },
            ring: { at: () => ({ value: { owner: network.owner } }) },
          },
    names: {
      domain: "weave.local.",
      records: network.records ?? [],
      isUnreachable: (origin: string) => origin === GONE,
    },
    ask: async (to: string, question: ProbeQuestion) => {
      if (question.ask !== "endpoints") throw new Error(`asked ${question.ask}`);
      asked.push(`${to} ${question.what}`);
      if (network.silent?.includes(to)) return { silent: "does not answer questions" };
      return { facts: { kind: "endpoints", endpoints: [...(network.hosts?.[to]?.[question.what] ?? [])] } };
    },
  };
  const locator = new Locator(deps as unknown as LocatorDeps);
  return { asked, locate: (text: string) => locator.locate(text) };
}

async function found(network: Network, text: string): Promise<Located> {
  const result = await locatorOn(network).locate(text);
  assert.ok(!("why" in result), JSON.stringify(result));
  return result;
}

async function notFound(network: Network, text: string): Promise<NotLocated> {
  const result = await locatorOn(network).locate(text);
  assert.ok("why" in result, JSON.stringify(result));
  return result;
}

test("a peer is found by name and nickname, also one that is away", async () => {
  for (const [text, name] of [
    ["h2", H2],
    [H3.toUpperCase(), H3],
    ["gone", GONE],
  ]) {
    const { kind, peer: at } = await found({}, text);
    assert.deepEqual([kind, at], ["peer", name]);
  }
  assert.match((await notFound({}, "long-gone")).why, /has been away for more than 15 minutes/);
});

test("a nickname that two peers have leads to neither, but to the one of them that is reachable", async () => {
  const { why, next } = await notFound({ nicknames: { [H3]: "h2" } }, "h2");
  assert.match(why, /^2 peers have the nickname h2$/);
  assert.equal(next, `Name one: ${H2}, ${H3}`);
  assert.equal((await found({ nicknames: { [GONE]: "h2" } }, "h2")).peer, H2);
});

test("an address is at the host of the MAC that answers, else at that of its name, else at the owner of its range", async () => {
  const c = endpoint("c", MAC_A, "10.32.0.9");
  const hosts = { [H3]: { "10.32.0.9": [c] } };
  const byMac = await found({ hosts, arp: { "10.32.0.9": [MAC_A] }, macs: { [MAC_A]: H3 } }, "10.32.0.9");
  assert.deepEqual(
    [byMac.peer, byMac.mac, byMac.endpoint, byMac.claimants],
    [H3, MAC_A, c, [{ mac: MAC_A, peer: H3 }]],
  );
  const records = [record("c.weave.local.", "10.32.0.9", "c", H3)];
  assert.equal((await found({ hosts, records }, "10.32.0.9/12")).peer, H3);
  assert.equal((await found({ hosts, owner: H3 }, "10.32.0.9")).peer, H3);
  // Of the host itself, without an announcement.
  assert.equal((await found({ hosts: { [H1]: { "10.32.0.9": [c] } } }, "10.32.0.9")).peer, H1);
});

test("an address that is used twice has all MACs that answer", async () => {
  const network = {
    hosts: { [H2]: { "10.32.0.9": [endpoint("c", MAC_A, "10.32.0.9")] } },
    arp: { "10.32.0.9": [MAC_A, MAC_B] },
    macs: { [MAC_A]: H2, [MAC_B]: H3 },
  };
  assert.deepEqual((await found(network, "10.32.0.9")).claimants, [
    { mac: MAC_A, peer: H2 },
    { mac: MAC_B, peer: H3 },
  ]);
});

test("a host that answers no question has what answers by ARP", async () => {
  const network = { arp: { "10.32.0.9": [MAC_A] }, macs: { [MAC_A]: H2 }, silent: [H2] };
  const { peer: at, endpoint: facts, silent, mac } = await found(network, "10.32.0.9");
  assert.deepEqual([at, facts, silent, mac], [H2, null, "does not answer questions", MAC_A]);
});

test("an address that is nowhere: the reason depends on its owner", async () => {
  assert.match(
    (await notFound({ owner: H2 }, "10.32.0.9")).why,
    /^nothing answers for 10\.32\.0\.9, and h2, to whose part/,
  );
  assert.match((await notFound({ owner: H2 }, "10.99.0.9")).why, /outside of the range 10\.32\.0\.0\/12/);
  const unannounced = await notFound({ arp: { "10.32.0.9": [MAC_A] } }, "10.32.0.9");
  assert.match(unannounced.why, /no host has announced that MAC/);
  const away = await found({ owner: GONE }, "10.32.0.9");
  assert.deepEqual([away.peer, away.silent], [GONE, "is not reachable"]);
});

test("a name is found here, by weaveDNS at a reachable host, and else by asking all", async () => {
  const c = endpoint("ab".repeat(32), MAC_A, "10.32.0.9");
  assert.equal((await found({ hosts: { [H1]: { web1: [c] } } }, "web1")).peer, H1);
  const records = [
    record("web1.weave.local.", "10.40.0.1", "other", GONE),
    record("Web1.weave.local.", "10.32.0.9", "ab".repeat(32), H2),
    record("web1.weave.local.", "10.32.0.10", "cd".repeat(32), H3),
  ];
  const hosts = { [H2]: { "10.32.0.9": [c] } };
  const named = await found({ hosts, records }, "web1");
  assert.deepEqual([named.peer, named.address, named.others], [H2, "10.32.0.9", ["10.32.0.10"]]);
  assert.equal((await found({ hosts, records }, "abababababab")).peer, H2, "by the start of the id");
  assert.equal((await found({ hosts: { [H3]: { web1: [c] } } }, "web1")).peer, H3);
  const typo = await notFound({ records }, "web2");
  assert.match(typo.why, /called web2; did you mean web1\?$/);
});

test("a MAC is found by its announcement, and that of a bridge is its peer", async () => {
  const hosts = { [H3]: { [MAC_B]: [endpoint("c", MAC_B, "10.32.0.9")] } };
  const { peer: at, address } = await found({ hosts, macs: { [MAC_B]: H3 } }, MAC_B.toUpperCase());
  assert.deepEqual([at, address], [H3, "10.32.0.9"]);
  assert.match((await notFound({}, MAC_A)).why, /no host of the network announces the MAC/);
});

test("a trace follows next hops, and ends at a router that is silent, at a lack of a route, and in a circle", async () => {
  const place = (text: string, at: string): Located => ({
    ...{ text, kind: "peer", peer: at, address: "", mac: "", endpoint: null, silent: "" },
    ...{ others: [], claimants: [] },
  });
  const places: Readonly<Record<string, string>> = { a: H1, b: H3 };
  const locator = { locate: async (text: string) => place(text, places[text]) };
  const legsBy = async (next: Readonly<Record<string, string>>) => {
    const tracer = new Tracer(locator, (async (at: string, question: ProbeQuestion) => {
      if (question.ask === "reach") return { silent: "x" };
      return next[at] === undefined ? { silent: "is silent" } : { facts: { via: next[at] } };
    }) as never);
    const trace = await tracer.trace("a", "b");
    assert.ok("legs" in trace);
    return trace.legs.map(({ at, facts, silent }) => [at, facts?.via ?? silent]);
  };
  assert.deepEqual(await legsBy({ [H1]: H2, [H2]: H3 }), [
    [H1, H2],
    [H2, H3],
  ]);
  assert.deepEqual(await legsBy({ [H1]: H2 }), [
    [H1, H2],
    [H2, "is silent"],
  ]);
  assert.deepEqual(await legsBy({ [H1]: "" }), [[H1, ""]]);
  assert.deepEqual(await legsBy({ [H1]: H2, [H2]: H1 }), [
    [H1, H2],
    [H2, H1],
  ]);
});
