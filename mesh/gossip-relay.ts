import type { Connection } from "#mesh/connection.js";
import { type GossipChannel, type Gossiper, relayOnlyGossiper } from "#mesh/gossip.js";
import type { MeshMessage } from "#mesh/messages.js";
import type { PeerName } from "#mesh/peer.js";
import type { Routes } from "#mesh/routes.js";
import type { Clock } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";

/** Unicasts and broadcasts may pass this many peers while routes change. What others say is cut to it. */
const MAX_HOPS = 32;
/** Channels are few; a peer that makes up names must not fill our memory. */
const MAX_CHANNELS = 32;

export type GossipMessage = Extract<MeshMessage, { channel: string }>;

/** What the relay needs of the mesh that it is part of. */
export interface GossipNetwork {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly routes: () => Routes;
  readonly connectionTo: (peer: PeerName) => Connection | undefined;
  /** Enough random neighbours for news to reach all. */
  readonly someNeighbours: (except: Connection | undefined) => readonly Connection[];
}

/** Named channels: hands what is for us to their gossipers, and passes on what is for others. */
export class GossipRelay {
  readonly #network: GossipNetwork;
  readonly #gossipers = new Map<string, Gossiper>();

  constructor(network: GossipNetwork) {
    this.#network = network;
  }

  /** Registers the receiving end of a channel, and gives its sending end. */
  channel(name: string, gossiper: Gossiper): GossipChannel {
    this.#gossipers.set(name, gossiper);
    const from = this.#network.self;
    return {
      unicast: (to, payload) => this.#unicast({ kind: "unicast", channel: name, from, to, hops: MAX_HOPS, payload }),
      broadcast: (payload) => this.#broadcast({ kind: "broadcast", channel: name, from, hops: MAX_HOPS, payload }),
      gossip: (payload) => this.#spread({ kind: "gossip", channel: name, from, payload }, undefined),
    };
  }

  /** Takes a message of a neighbour. @throws what the gossiper throws; WEAVE_MESSAGE_MALFORMED */
  receive(from: Connection, message: GossipMessage): void {
    switch (message.kind) {
      case "unicast":
        if (message.to === this.#network.self) this.#gossiper(message.channel).onUnicast(message.from, message.payload);
        else this.#unicast(message);
        return;
      case "broadcast":
        if (message.from === this.#network.self) return;
        this.#broadcast(message);
        this.#gossiper(message.channel).onBroadcast(message.from, message.payload);
        return;
      case "gossip": {
        const news = this.#gossiper(message.channel).onGossip(message.from, message.payload);
        if (news !== undefined) this.#spread({ ...message, payload: news }, from);
      }
    }
  }

  /** Tells a neighbour all that is known on all channels. */
  sendStates(to: Connection): void {
    for (const channel of this.#gossipers.keys()) this.#sendState(to, channel);
  }

  /** A neighbour that was too slow gets the whole state of what it missed, once it has caught up. */
  catchUp(connection: Connection): void {
    if (connection.congested) return;
    for (const channel of connection.behind) this.#sendState(connection, channel);
    connection.behind.clear();
  }

  #gossiper(channel: string): Gossiper {
    let gossiper = this.#gossipers.get(channel);
    if (gossiper === undefined) {
      if (this.#gossipers.size >= MAX_CHANNELS) {
        throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `too many channels; ${channel} is not relayed`);
      }
      gossiper = relayOnlyGossiper(this.#network.clock);
      this.#gossipers.set(channel, gossiper);
    }
    return gossiper;
  }

  #unicast(message: Extract<MeshMessage, { kind: "unicast" }>): boolean {
    const next = this.#network.routes().unicast(message.to);
    // A new neighbour is there before the routes know: what it says first is answered at once.
    const connection = this.#network.connectionTo(message.to) ?? this.#network.connectionTo(next ?? message.to);
    if (connection === undefined || message.hops <= 0 || connection.congested) return false;
    connection.send(oneHopOn(message));
    return true;
  }

  #broadcast(message: Extract<MeshMessage, { kind: "broadcast" }>): void {
    if (message.hops <= 0) return;
    const passed = oneHopOn(message);
    for (const next of this.#network.routes().flood(message.from)) {
      const connection = this.#network.connectionTo(next);
      if (connection !== undefined) sendOrMark(connection, passed);
    }
  }

  #spread(message: Extract<MeshMessage, { kind: "gossip" }>, except: Connection | undefined): void {
    for (const connection of this.#network.someNeighbours(except)) sendOrMark(connection, message);
  }

  #sendState(to: Connection, channel: string): void {
    const payload = this.#gossiper(channel).state();
    if (payload !== undefined) to.send({ kind: "gossip", channel, from: this.#network.self, payload });
  }
}

const oneHopOn = <T extends { readonly hops: number }>(message: T): T => ({
  ...message,
  hops: Math.min(message.hops, MAX_HOPS) - 1,
});

/** A slow neighbour does not get a queue that grows: what it misses is noted. */
function sendOrMark(connection: Connection, message: GossipMessage): void {
  if (connection.congested) connection.behind.add(message.channel);
  else connection.send(message);
}
