import { AssemblyBudget } from "#mesh/connection/assembly-budget.js";
import { Connection } from "#mesh/connection/connection.js";
import { certifiedBytes } from "#mesh/handshake/hello.js";
import { Initiator } from "#mesh/handshake/initiator.js";
import { keyPair } from "#mesh/handshake/noise.js";
import type { MeshMessage } from "#mesh/messages.js";
import { keyStart, type PeerLink, type PeerName } from "#mesh/peer.js";
import { encodeReplicaMessage } from "#mesh/replica/replica-message.js";
import { makeSigner, type Signer } from "#mesh/signing.js";
import { TOPOLOGY_FORMAT, type TopologyRecord } from "#mesh/topology/record.js";
import type { Wire } from "#mesh/transport.js";
import { toHex } from "#src/text.js";
import { instant, type Network, type SimulatedPeer } from "./network.js";
import { signedState } from "./signed-state.js";
import { seededRandom } from "./virtual-time.js";

/** A peer that completes handshakes, and then sends any message that a test chooses. It keeps no topology. */
export class HostilePeer {
  readonly name: PeerName;
  readonly key: string;
  readonly uid: string;
  readonly signer: Signer;
  readonly received: MeshMessage[] = [];
  readonly #network: Network;
  readonly #index: number;
  readonly #connections: Connection[] = [];

  constructor(network: Network, index: number) {
    this.#network = network;
    this.#index = index;
    this.name = `02:00:00:00:66:${index.toString(16).padStart(2, "0")}`;
    this.key = toHex(this.#keys.public);
    this.signer = makeSigner(seededRandom(3_000_000 + index).bytes(32));
    this.uid = toHex(seededRandom(index).bytes(8));
  }

  get #keys() {
    return keyPair(seededRandom(2_000_000 + this.#index).bytes(32));
  }

  /** Connects to a peer. @param clock the wall clock time in its hello */
  join(to: SimulatedPeer, clock = this.#network.clock.wall()): void {
    void this.#network.dial(`10.1.0.${this.#index}`, `${to.host}:6783`).then((wire) => this.#handshake(wire, clock));
  }

  #handshake(wire: Wire, clock: number): void {
    const { clock: time, random } = this.#network;
    const hello = {
      name: this.name,
      nickname: "mallory",
      identity: this.signer.identity,
      key: this.key,
      certificate: this.signer.sign("static-key", certifiedBytes(this)),
      uid: this.uid,
      incarnation: this.#network.clock.wall(),
      connectionId: random.below(2 ** 32),
      clock,
      clear: false,
      overlays: instant.carriers,
    };
    const handshake = new Initiator({ staticKey: this.#keys, random, hello });
    const connection = new Connection(
      { clock: time, random, wire, dialled: wire.remoteAddress, handshake, assemblies: new AssemblyBudget() },
      {
        opened() {},
        message: (_, message) => void this.received.push(message),
        malformed() {},
        responsive() {},
        closed() {},
      },
    );
    this.#connections.push(connection);
    connection.start();
  }

  /** Sends one message on all its connections, or a different one on each. */
  send(...messages: MeshMessage[]): void {
    this.#connections.forEach((connection, i) => {
      connection.send(messages[i % messages.length]);
    });
  }

  /**
   * Makes a message with the topology records of a peer.
   *
   * @param of the peer that they are about; by default this one
   * @param signer who signs them; by default this peer
   */
  topology(
    of: { origin?: PeerName; incarnation: number; version: number; nickname?: string },
    links: readonly PeerLink[],
    signer: Signer = this.signer,
  ): MeshMessage {
    const { origin = this.name, incarnation, version, nickname = "mallory" } = of;
    const records: TopologyRecord[] = [
      { kind: "self", nickname, identity: signer.identity, key: this.key, uid: this.uid },
      ...links.map((link) => ({ kind: "link" as const, ...link })),
    ];
    const state = signedState(TOPOLOGY_FORMAT, signer, { origin, incarnation, version }, records);
    return this.push(encodeReplicaMessage({ kind: "states", states: [state] }));
  }

  /** Makes a message of the topology's channel with any payload. */
  push(payload: Uint8Array): MeshMessage {
    return { kind: "push", channel: "topology", from: this.name, payload };
  }

  /** A link to a peer, as this peer would announce it. */
  linkTo({ mesh, name, host }: SimulatedPeer): PeerLink {
    const key = keyStart(mesh.status().self.identity);
    return { to: name, key, address: `${host}:6783`, outbound: true, established: true };
  }

  get open(): number {
    return this.#connections.filter(({ state }) => state === "pending").length;
  }

  leave(): void {
    for (const connection of this.#connections) connection.close(new Error("done"));
  }
}
