import type { Mesh } from "#mesh/mesh.js";
import { type PeerName, peerText } from "#mesh/peer.js";
import type { Carriers } from "#router/carriers/carriers.js";
import type { Datapath } from "#router/datapath/datapath.js";
import type { DatapathEvent } from "#router/datapath/protocol.js";
import { portsOf } from "#src/linux/links/bridge.js";
import type { Log } from "#src/log.js";
import { macFromNumber } from "#src/mac.js";

/** The session number by which the frame threads send to a neighbour; undefined while frames do not pass. */
export function nextHopTo(mesh: Mesh, peer: PeerName): number | undefined {
  const connection = mesh.connectionTo(peer);
  return connection?.state === "established" ? connection.overlay?.nextHop : undefined;
}

export interface DatapathEventDeps {
  readonly carriers: Carriers;
  readonly mesh: Mesh;
  readonly datapath: Datapath;
  readonly bridge: string;
  /** Ports of the bridge that lead to other peers. A MAC behind any other port is local. */
  readonly overlayPorts: ReadonlySet<string>;
  readonly log: Log;
}

/** Passes the threads' events about sessions to the carriers, and logs events about MACs and faults. */
export function handleDatapathEvent(event: DatapathEvent, deps: DatapathEventDeps): void {
  const { carriers, mesh, log } = deps;
  const nameOf = (peer: number) => {
    const name = macFromNumber(peer);
    const record = mesh.peer(name);
    return record === undefined ? name : peerText(record);
  };
  switch (event.event) {
    case "control":
    case "frames":
    case "address-changed":
    case "too-big":
    case "record":
    case "arrivals":
      return carriers.onEvent(event);
    case "mac-moved":
      return log.info("Discovered remote MAC", {
        mac: macFromNumber(event.mac),
        at: nameOf(event.to),
        was: nameOf(event.from),
      });
    case "mac-refused":
      log.warn("a frame from the network has the MAC of a local container; it was dropped", {
        mac: macFromNumber(event.mac),
        from: nameOf(event.peer),
      });
      return void releaseIfGone(event.mac, deps);
    case "mac-full":
      return log.warn("a peer sends frames with more MACs than its share of the table; they are not learned", {
        mac: macFromNumber(event.mac),
        from: nameOf(event.peer),
      });
    case "mac-held":
      return log.warn("two peers claim a MAC; it stays at the one that had it longest", {
        mac: macFromNumber(event.mac),
        at: nameOf(event.at),
        claimedBy: nameOf(event.claimedBy),
      });
    case "source-refused":
      return log.warn("a neighbour sends frames of a peer to which it has no route; they are dropped", {
        neighbour: nameOf(event.neighbour),
        claims: nameOf(event.source),
      });
    case "fault":
      return log.error("a fault in the frame path; the packet was dropped", { why: event.message });
  }
}

/** Releases a MAC that is no longer on our bridge: its container has moved to another host. */
async function releaseIfGone(mac: number, { bridge, overlayPorts, datapath, log }: DatapathEventDeps): Promise<void> {
  const text = macFromNumber(mac);
  const ports = await portsOf(bridge, text).catch(() => undefined);
  if (ports === undefined || ports.some((port) => !overlayPorts.has(port))) return;
  log.info("a MAC has left our bridge", { mac: text });
  datapath.send({ do: "release", mac });
}
