import { CARRIERS } from "#router/carriers/carrier-list.js";
import { Carriers } from "#router/carriers/carriers.js";
import { SMALL_PING } from "#router/carriers/sleeve/path.js";
import { decodePathMessage, encodePathMessage } from "#router/datapath/path-message.js";
import type { Command } from "#router/datapath/protocol.js";
import { silentLog } from "#src/log.js";
import { type Network, type SimulatedPeer, simulatedHost } from "./network.js";

const IP_UDP = 28;

interface Session {
  readonly host: string;
  readonly carriers: Carriers;
  /** The other end's number; 0: not known yet. */
  remote: number;
}

/** The datapaths of simulated peers: what a carrier sends arrives at the other one's, if the network does not drop it. */
export class Datagrams {
  readonly #network: Network;
  readonly #sessions = new Map<number, Session>();
  /** Bytes of IP packets sent by each host. */
  readonly bytes = new Map<string, number>();
  mtu = 1_500;

  constructor(network: Network) {
    this.#network = network;
  }

  /** Starts peer `index` with the carriers of a router. */
  start(index: number): SimulatedPeer {
    const host = simulatedHost(index);
    const { clock, random } = this.#network;
    const carriers: Carriers = new Carriers({
      carriers: CARRIERS,
      datapath: { send: (command) => this.#execute(host, carriers, command) },
      bridge: { name: "weave", mtu: 1_376 },
      linkMtu: () => Promise.resolve(1_500),
      sourceTo: () => Promise.resolve(undefined),
      clock,
      random,
      log: silentLog,
    });
    return this.#network.start(index, { overlay: carriers });
  }

  /** Reports that frames are sent from this peer to all others. */
  frames(from: SimulatedPeer, large: boolean): void {
    for (const [session, { host, carriers }] of this.#sessions)
      if (host === from.host) carriers.onEvent({ event: "frames", session, large });
  }

  /** Whether a frame would get from one peer to another now, by what each peer on the way takes for the way. */
  reaches(from: SimulatedPeer, to: SimulatedPeer): boolean {
    let at = from;
    for (let hops = 0; at !== to; hops++) {
      const via = at.mesh.frameRoutes.unicast(to.name);
      const connection = via === undefined ? undefined : at.mesh.connectionTo(via);
      const next = [...this.#network.peers.values()].find(({ name }) => name === via);
      if (hops > 8 || next === undefined || connection?.state !== "established") return false;
      const protocol = connection.overlay?.name === "stream" ? "tcp" : "udp";
      if (this.#network.blocked(protocol, at.host, next.host)) return false;
      at = next;
    }
    return true;
  }

  #execute(host: string, carriers: Carriers, command: Command): void {
    switch (command.do) {
      case "open":
        this.#sessions.set(command.session, { host, carriers, remote: 0 });
        return;
      case "remote":
        this.#sessions.get(command.session)!.remote = command.remoteSession;
        return;
      case "control":
        return this.#send(command.session, command.message, command.datagramBytes);
      case "batch":
        for (const message of command.messages) this.#send(command.session, message, command.datagramBytes);
        return;
      case "close":
        this.#sessions.delete(command.session);
    }
  }

  #send(from: number, message: Uint8Array, atLeast: number): void {
    const sender = this.#sessions.get(from);
    if (sender === undefined || sender.remote === 0) return;
    const datagramBytes = Math.max(atLeast, SMALL_PING);
    const { host, remote } = sender;
    this.bytes.set(host, (this.bytes.get(host) ?? 0) + IP_UDP + datagramBytes);
    this.#network.clock.after(this.#network.delayMs, () => {
      const receiver = this.#sessions.get(remote);
      if (receiver === undefined || IP_UDP + datagramBytes > this.mtu) return;
      if (this.#network.blocked("udp", host, receiver.host)) return;
      // As the thread does.
      const ping = receiver.remote === 0 ? undefined : decodePathMessage(message);
      const answered = ping?.type === "ping";
      if (answered) this.#send(remote, encodePathMessage({ type: "pong", id: ping.id, datagramBytes }), 0);
      receiver.carriers.onEvent({ event: "control", session: remote, message, datagramBytes, answered });
    });
  }
}
