import { setTimeout as sleep } from "node:timers/promises";
import { type Connection, createMesh, keyPair, type Mesh, makeSigner, type PeerName } from "#mesh/index.js";
import type { MeshMessage } from "#mesh/messages.js";
import type { OverlayLink } from "#mesh/overlay.js";
import { oneSecret } from "#mesh/secrets.js";
import type { Signer } from "#mesh/signing.js";
import { passwordKey } from "#router/peers/password.js";
import { dialWebSocket } from "#router/peers/ws-transport.js";
import { systemClock } from "#src/clock.js";
import { systemRandom } from "#src/random.js";

/** The gossip channels whose payloads an intruder records: those of services, which the mesh itself does not use. */
export const CHANNELS = ["nameserver", "IPallocation", "claims", "tasks"] as const;
const MOST_CAPTURED = 500;
/** Bytes unsent above which an intruder waits: the line is full, or the victim reads slowly. */
const FULL_BYTES = 4 << 20;
const CONNECT_MS = 60_000;

/** A payload of a gossip channel, as it came. */
export interface Captured {
  readonly channel: string;
  readonly how: "unicast" | "broadcast" | "gossip";
  readonly from: PeerName;
  readonly payload: Uint8Array;
}

export interface IntruderOptions {
  readonly name: PeerName;
  readonly password: string | undefined;
  /** 32 bytes; two intruders with one seed are one identity. */
  readonly seed?: Uint8Array;
  /** Milliseconds by which its clock is ahead. */
  readonly aheadMs?: number;
  readonly incarnation?: number;
  /** Source address of its connections. */
  readonly from?: string;
  readonly capture?: boolean;
}

/** A peer that knows the password, is let in, and then sends what it likes, on connections of the library. */
export class Intruder {
  readonly mesh: Mesh;
  readonly name: PeerName;
  readonly signer: Signer;
  readonly captured: Captured[] = [];
  /** The overlay's links, by peer. */
  readonly links = new Map<PeerName, OverlayLink>();
  sentMessages = 0;
  /** What its dials have come to, each with the milliseconds since it began to {@link enter}. */
  readonly steps: string[] = [];
  #entering = 0;

  private constructor(options: IntruderOptions, key: Uint8Array | undefined) {
    const { name, aheadMs = 0 } = options;
    this.name = name;
    const seed = options.seed ?? systemRandom.bytes(32);
    this.signer = makeSigner(seed);
    const clock = { ...systemClock, wall: () => Date.now() + aheadMs };
    this.mesh = createMesh({
      name,
      nickname: "mallory",
      incarnation: options.incarnation ?? Math.floor(clock.wall()),
      staticKey: keyPair(seed),
      signer: this.signer,
      secrets: oneSecret(key),
      clock,
      random: systemRandom,
      dial: async (address, signal) => {
        this.#note("dials");
        const wire = await dialWebSocket(address, options.from, signal);
        this.#note("is connected");
        return wire;
      },
      discovery: false,
      overlay: this.#overlay(),
    });
    for (const channel of options.capture === false ? [] : CHANNELS) this.#record(channel);
  }

  /** A peer that has not dialled yet. */
  static async prepared(options: IntruderOptions): Promise<Intruder> {
    const key = options.password === undefined ? undefined : await passwordKey(options.password);
    return new Intruder(options, key);
  }

  /** @param address of the victim, `ip:port` */
  static async join(address: string, options: IntruderOptions): Promise<Intruder> {
    const intruder = await Intruder.prepared(options);
    intruder.mesh.connect([{ text: address, address, port: true }], false);
    return intruder;
  }

  /** As {@link join}, when the victim has let it in. @throws when it does not */
  static async joined(address: string, options: IntruderOptions): Promise<Intruder> {
    const intruder = await Intruder.prepared(options);
    await intruder.enter(address);
    return intruder;
  }

  /** Dials, and waits until it is let in. @throws when it is not */
  async enter(address: string): Promise<void> {
    this.#entering = performance.now();
    let refusal = "";
    this.mesh.connect([{ text: address, address, port: true }], false);
    const deadline = Date.now() + CONNECT_MS;
    while (this.connections.length === 0) {
      if (Date.now() > deadline) throw new Error(`${address} lets it not in: ${this.refusal}`);
      if (this.refusal !== refusal) this.#note(this.refusal);
      refusal = this.refusal;
      await sleep(5);
    }
    this.#note("is let in");
  }

  #note(step: string): void {
    if (step !== "") this.steps.push(`${Math.round(performance.now() - this.#entering)} ms ${step}`);
  }

  get connections(): readonly Connection[] {
    return this.mesh.status().connections;
  }

  /** Why the victim does not let it in. */
  get refusal(): string {
    return this.mesh
      .status()
      .attempts.map(({ error }) => error ?? "")
      .join("; ");
  }

  /** Names of the honest peers. */
  get others(): PeerName[] {
    return this.mesh
      .status()
      .peers.map(({ name }) => name)
      .filter((name) => name !== this.name);
  }

  /** Sends anything to all neighbours as a message of the mesh; waits where the line is full. */
  async send(message: unknown): Promise<void> {
    for (const connection of this.connections) {
      try {
        connection.send(message as MeshMessage);
        this.sentMessages++;
      } catch {
        // Longer than a message can be: a change has repeated a long list.
      }
      for (
        let waited = 0;
        connection.wire.buffered > FULL_BYTES && connection.state !== "closed" && waited < 50;
        waited++
      )
        await sleep(20);
    }
    // The library's own timers and the socket need their turn, too.
    if (this.sentMessages % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
  }

  stop(): void {
    this.mesh.stop();
  }

  #record(name: string): void {
    const note = (how: Captured["how"], from: PeerName, payload: Uint8Array) => {
      this.captured.push({ channel: name, how, from, payload: Uint8Array.from(payload) });
      if (this.captured.length > MOST_CAPTURED) this.captured.shift();
    };
    this.mesh.channel(name, {
      onUnicast: (from, payload) => note("unicast", from, payload),
      onBroadcast: (from, payload) => note("broadcast", from, payload),
      onGossip: (from, payload) => {
        note("gossip", from, payload);
        return undefined;
      },
      state: () => undefined,
    });
  }

  #overlay() {
    return {
      carriers: ["sleeve", "stream"],
      open: (link: OverlayLink) => {
        this.links.set(link.remote.name, link);
        return {
          name: "stream",
          nextHop: undefined,
          receive() {},
          status: () => ({}),
          diagnostics: () => ({ keyEpoch: 0, selection: undefined, carriers: [] }),
          stop: () => void this.links.delete(link.remote.name),
        };
      },
    };
  }
}
