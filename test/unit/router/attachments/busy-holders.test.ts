import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { test } from "node:test";
import { Attachments, type AttachmentsDeps } from "#router/attachments/attachments.js";
import { BusyHolders } from "#router/attachments/busy-holders.js";
import { type CniAttachmentRequest, CniAttachments, type CniAttachmentsDeps } from "#router/cni/cni-attachments.js";
import { NamespaceWatch } from "#router/host/namespace-watch.js";
import { netnsIdent } from "#src/linux/netns/netns.js";
import { silentLog } from "#src/log.js";

const never = new Promise<never>(() => {});
/** Address allocation in which each allocation waits. */
const ipam = { requests: { lookup: () => [], allocate: () => never }, defaultSubnet: { text: "10.32.0.0/12" } };
const wanted = [{ kind: "net", subnet: "" }];

test("a holder without an interface has ended, unless its attachment is in progress", async (t) => {
  const busy = new BusyHolders();
  const ended: string[] = [];
  const [attached, gone] = [netnsIdent({ inode: 1 }), "cni:net:container:eth0"];
  const lifecycle = {
    idents: () => [attached, gone],
    containerEnded: (ident: string) => void ended.push(ident),
    containerRuns: () => assert.fail(),
  };
  const watch = new NamespaceWatch([lifecycle], busy, silentLog);
  t.after(() => watch.stop());
  let finish = () => {};
  const attachment = busy.run(attached, () => new Promise<void>((resolve) => (finish = resolve)));
  const failed = busy.run(attached, async () => Promise.reject(new Error("x")));
  await assert.rejects(failed);
  await watch.look();
  assert.deepEqual(ended.splice(0), [gone]);
  const looking = watch.look();
  finish();
  await Promise.all([attachment, looking]);
  assert.deepEqual(ended.splice(0), [gone], "its interface may have been made after the interfaces were read");
  await watch.look();
  assert.deepEqual(ended, [attached, gone]);
});

test("a holder that waits for an address is busy", async () => {
  const busy = new BusyHolders();
  const signal = new AbortController().signal;
  const attachments = new Attachments({ ipam, busy, log: silentLog } as unknown as AttachmentsDeps, {
    bridge: "weave",
    mtu: 1376,
  });
  const netns = { path: "/proc/self/ns/net", inode: statSync("/proc/self/ns/net").ino };
  const request = { ident: "c", netns, pid: process.pid, wanted, signal, timeoutMs: undefined };
  void attachments.attach(request as unknown as Parameters<Attachments["attach"]>[0]);
  const cni = new CniAttachments({ ipam, busy, log: silentLog } as unknown as CniAttachmentsDeps, {
    bridge: "weave",
    bridgeMac: "",
    mtu: 1376,
  });
  const call = { container: "d", ifname: "eth0", netns: "", args: new Map() };
  const configuration = { network: "n", ipam: {} };
  void cni.allocate({ call, configuration, signal } as unknown as CniAttachmentRequest, "cni:n:d:eth0", () => {});
  await new Promise(setImmediate);
  assert.ok(busy.has("c"));
  assert.ok(busy.has("cni:n:d:eth0"));
});
