import assert from "node:assert/strict";
import { leaseText, parseLease, parseSubnet } from "#ipam/ring/subnet.js";
import { WeaveError } from "#src/errors.js";
import { IpamNetwork, type SimHost } from "#test/sim/ipam-network.js";

/** Short calls to the allocators of a simulated network; each lets time pass until it has its result. */

export const CALM = { lost: 0, doubled: 0, delay: 2 };
export const RANGE = "10.32.0.0/24";
/** The holder is a container: its death frees the address. */
export const CONTAINER = { container: true };

/** A network of so many peers; a majority must agree on the first ring. */
export function startNetwork(peers: number, range = RANGE): IpamNetwork {
  const network = new IpamNetwork(1, CALM);
  for (let i = 0; i < peers; i++) network.add({ mode: "consensus", quorum: () => (peers >> 1) + 1 }, range);
  for (const host of network.hosts) network.start(host);
  return network;
}

/** Lets time pass until a promise is settled, for `ms` at most. */
export async function settle<T>(network: IpamNetwork, promise: Promise<T>, ms = 60_000): Promise<T> {
  const state = { done: false };
  const watched = promise.finally(() => {
    state.done = true;
  });
  watched.catch(() => {});
  for (let passed = 0; !state.done && passed < ms; passed += 100) await network.run(100);
  const reasons = network.hosts.flatMap(
    ({ allocator }) => allocator?.waiters.map((waiter) => waiter.reason().why) ?? [],
  );
  assert.ok(state.done, `no result after ${ms} ms: ${reasons.join("; ")}`);
  return watched;
}

/** Allocates an address for a container. @returns it, as `10.32.0.1/24` */
export async function allocate(
  network: IpamNetwork,
  host: SimHost,
  ident: string,
  subnet = host.range,
): Promise<string> {
  return leaseText(await settle(network, host.allocator!.requests.allocate(ident, parseSubnet(subnet), CONTAINER)));
}

/** Claims an address for a container. */
export function claim(network: IpamNetwork, host: SimHost, ident: string, cidr: string): Promise<void> {
  return settle(network, host.allocator!.requests.claim(ident, parseLease(cidr), CONTAINER));
}

export function failsWith(promise: Promise<unknown>, code: string, words: RegExp): Promise<void> {
  return assert.rejects(promise, (error) => {
    assert.ok(error instanceof WeaveError, String(error));
    assert.equal(error.code, code);
    assert.match(error.text, words);
    return true;
  });
}
