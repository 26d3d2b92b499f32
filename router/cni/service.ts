import type { Ipam } from "#router/addresses/ipam.js";
import type { Attachments } from "#router/attachments/attachments.js";
import type { BusyHolders } from "#router/attachments/busy-holders.js";
import { AttachmentNames } from "#router/attachments/names.js";
import { CniAttachments } from "#router/cni/cni-attachments.js";
import { addedAttachment, attachmentOf, CniCalls, type CniPlugin } from "#router/cni/cni-calls.js";
import { CniIpamHolders } from "#router/cni/cni-ipam-holders.js";
import { MAX_CNI_REQUEST } from "#router/cni/cni-request.js";
import { ReleaseQueue } from "#router/cni/release-queue.js";
import type { Exposure } from "#router/exposure/exposure.js";
import type { WeaveDns } from "#router/names/weave-dns.js";
import { route } from "#router/route.js";
import type { Service } from "#router/service.js";
import type { StartContext } from "#router/start-context.js";
import { systemClock } from "#src/clock.js";

/** Opens the record of addresses that other CNI plugins have. @throws WEAVE_STORE */
export const openCniIpamHolders = (ipam: Ipam, { store, log }: Pick<StartContext, "store" | "log">): CniIpamHolders =>
  new CniIpamHolders({ store, leases: ipam.allocator.leases, requests: ipam.allocator.requests, log });

export interface CniStart {
  /** Undefined when address allocation is off. */
  readonly ipam: Ipam | undefined;
  readonly holders: CniIpamHolders | undefined;
  /** Undefined when weaveDNS is off. */
  readonly dns: WeaveDns | undefined;
  readonly attachments: Attachments;
  readonly exposure: Exposure;
  readonly busy: BusyHolders;
  readonly bridge: string;
  /** MAC of the bridge. */
  readonly bridgeMac: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  /** Folder of the calls that the client has stored while no router ran. */
  readonly releases: string;
}

/** The router's side of the CNI plugin. */
export interface Cni {
  readonly calls: CniCalls;
  readonly queue: ReleaseQueue;
}

/** Starts to answer CNI calls, after the DEL calls that were stored while no router ran. */
export async function startCni(
  start: CniStart,
  { log, resources }: Pick<StartContext, "log" | "resources">,
): Promise<Cni> {
  const { ipam, holders, dns, attachments, exposure, busy, bridge, bridgeMac, mtu, releases: folder } = start;
  const interfaces = new CniAttachments(
    {
      ipam: ipam && { requests: ipam.allocator.requests, defaultSubnet: ipam.defaultSubnet },
      names: new AttachmentNames(dns?.names),
      attachments,
      exposure,
      busy,
      log,
    },
    { bridge, bridgeMac, mtu },
  );
  const calls = new CniCalls({ attachments: interfaces, ipam, holders, bridge, log });
  const stop = new AbortController();
  resources.add("CNI", () => stop.abort());
  const replay = (plugin: CniPlugin, body: Buffer) => calls.replay(plugin, body, stop.signal);
  const queue = new ReleaseQueue({ folder, replay, attachmentOf, log });
  await queue.drain();
  const timer = queue.drainRegularly(systemClock);
  resources.add("CNI's stored calls", () => timer.cancel());
  return { calls, queue };
}

/** The calls of the CNI plugin, which the programs `weave-net` and `weave-ipam` pass on. */
export function cniService({ calls, queue }: Cni): Service {
  const answer = (plugin: CniPlugin) =>
    route(
      `POST /cni/${plugin}`,
      async ({ body, signal }) => {
        await queue.drain(addedAttachment(plugin, body));
        return calls.handle(plugin, body, signal);
      },
      { rawBody: MAX_CNI_REQUEST },
    );
  return {
    name: "cni",
    routes: () => [answer("net"), answer("ipam")],
    report: () => ({ CNI: { Attachments: calls.count() } }),
    metrics: () => [
      {
        name: "weave_cni_attachments",
        help: "Interfaces and addresses that CNI runtimes have requested on this host.",
        type: "gauge",
        read: () => calls.count(),
      },
    ],
  };
}
