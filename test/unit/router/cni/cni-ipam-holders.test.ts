import assert from "node:assert/strict";
import { test } from "node:test";
import { CniIpamHolders, type HostNamespaces } from "#router/cni/cni-ipam-holders.js";
import { silentLog } from "#src/log.js";
import { memoryStore } from "#src/store.js";

/** A host with namespaces, and the holders whose addresses are in use or will be released. */
function host() {
  const contents = new Map<string, unknown>();
  const leased = new Set<string>();
  const paths = new Map<string, number>();
  const used = new Set<number>();
  const state = { boot: "1", calls: [] as string[] };
  const open = () => {
    const namespaces: HostNamespaces = {
      boot: state.boot,
      inodeAt: (path) => paths.get(path),
      all: () => new Set([...paths.values(), ...used]),
    };
    return new CniIpamHolders({
      store: memoryStore(contents),
      leases: { get: (ident) => (leased.has(ident) ? ({} as never) : undefined) },
      requests: {
        cancelRelease: (ident) => void state.calls.push(`keep ${ident}`),
        scheduleRelease: (ident) => void state.calls.push(`release ${ident}`),
      },
      namespaces,
      log: silentLog,
    });
  };
  const look = async (holders: CniIpamHolders) => {
    state.calls = [];
    await holders.look();
    return state.calls;
  };
  return { contents, leased, paths, used, state, open, look };
}

const A = "cni-ipam:n:a:eth0";

test("addresses are released when the namespace has ended, also if that was while no router ran", async () => {
  const { leased, paths, used, open, look } = host();
  const holders = open();
  paths.set("/run/netns/a", 7);
  leased.add(A);
  holders.record(A, "/run/netns/a");
  assert.deepEqual(await look(holders), [`keep ${A}`]);
  paths.delete("/run/netns/a");
  // The kernel reuses inodes at once.
  used.add(7);
  assert.deepEqual(await look(holders), [`release ${A}`]);
  assert.deepEqual(await look(open()), [`release ${A}`]);
  paths.set("/run/netns/a", 8);
  assert.deepEqual(await look(holders), [`release ${A}`], "another namespace has the path");
});

test("a namespace that processes still use keeps its addresses without its path", async () => {
  const { leased, paths, used, open, look } = host();
  const holders = open();
  paths.set("/proc/5/ns/net", 7);
  leased.add(A);
  holders.record(A, "/proc/5/ns/net");
  paths.clear();
  used.add(7);
  assert.deepEqual(await look(holders), [`keep ${A}`]);
});

test("no namespace survives a boot, not even one that the router could not see", async () => {
  const { leased, paths, state, open, look } = host();
  leased.add(A);
  open().record(A, "/unseen");
  assert.deepEqual(await look(open()), [`keep ${A}`]);
  state.boot = "2";
  paths.set("/unseen", 7);
  assert.deepEqual(await look(open()), [`release ${A}`]);
});

test("the record of a released address is removed", async () => {
  const { contents, open, look } = host();
  const holders = open();
  holders.record(A, "/run/netns/a");
  assert.equal(contents.size, 1);
  assert.deepEqual(await look(holders), []);
  assert.equal(contents.size, 0);
  holders.record(A, "/run/netns/a");
  holders.forget(A);
  assert.equal(contents.size, 0);
});
