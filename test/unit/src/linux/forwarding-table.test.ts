import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageWriter } from "#src/linux/netlink/message-writer.js";
import { AF_BRIDGE, NTF_EXT_LEARNED, NTF_MASTER, NTF_SELF, readForwarding } from "#src/linux/netlink/neighbour.js";
import type { Netlink, NetlinkRequest } from "#src/linux/netlink/netlink.js";
import { ForwardingTable } from "#src/linux/vxlan/forwarding-table.js";

const PORTS = { bridge: 1, vxlan: 2, tap: 3 };
const [MAC, OTHER] = ["02:cc:00:00:00:01", "02:cc:00:00:00:02"];

/** An entry as the kernel lists it (linux/neighbour.h): on the bridge, or with a host, which is the VXLAN device's own. */
function listed(
  mac: string,
  { vlan = 0, host, ifindex = PORTS.vxlan }: { vlan?: number; host?: string; ifindex?: number },
) {
  const flags = NTF_EXT_LEARNED | (host === undefined ? NTF_MASTER : NTF_SELF);
  const writer = new MessageWriter().struct([4, AF_BRIDGE], [4, ifindex], [2, 2], [1, flags], [1, 0]).mac(2, mac);
  if (vlan !== 0) writer.u16(5, vlan);
  return (host === undefined ? writer.u32(9, PORTS.bridge) : writer.ipv4(1, host)).finish();
}

/** A table whose kernel has these entries. */
function tableOf(bodies: readonly Uint8Array[]) {
  const sent: NetlinkRequest[] = [];
  const kernel = {
    dump: async () => bodies,
    batch: async (_what: string, requests: readonly NetlinkRequest[]) => {
      sent.push(...requests);
      return [];
    },
  };
  const table = new ForwardingTable(kernel as unknown as Netlink, () => PORTS);
  return { table, sent: () => sent.map(({ type, body }) => `${type} ${readForwarding(body)?.ifindex}`) };
}

test("an entry of a VLAN says nothing of where frames go, and is removed with the rest", async () => {
  // As on a kernel with VLAN filtering, whose ports have the VLAN 1: a container has taken the first MAC, and not the second one.
  const { table, sent } = tableOf([
    listed(MAC, { vlan: 1 }),
    listed(MAC, { host: "192.0.2.1" }),
    listed(OTHER, { vlan: 1 }),
    listed(OTHER, {}),
    listed(OTHER, { host: "192.0.2.1" }),
  ]);
  const entries = await table.entries();
  assert.deepEqual(entries.get(MAC), { mac: MAC, via: undefined, host: "192.0.2.1" });
  assert.deepEqual(entries.get(OTHER), { mac: OTHER, via: "vxlan", host: "192.0.2.1" });
  const wanted = new Map([[OTHER, { mac: OTHER, via: "vxlan", host: "192.0.2.1" } as const]]);
  assert.deepEqual(await table.reconcile(wanted), { added: 0, removed: 1, failures: [] });
  // RTM_DELNEIGH at both ports, and at the device itself.
  assert.deepEqual(sent(), ["29 2", "29 3", "29 2"]);
});

test("an entry that a container has taken is made again where it is wanted", async () => {
  const { table, sent } = tableOf([listed(MAC, { vlan: 1 }), listed(MAC, { host: "192.0.2.1" })]);
  const wanted = new Map([[MAC, { mac: MAC, via: "vxlan", host: "192.0.2.1" } as const]]);
  assert.deepEqual(await table.reconcile(wanted), { added: 1, removed: 0, failures: [] });
  assert.deepEqual(sent(), ["28 2"]);
});
