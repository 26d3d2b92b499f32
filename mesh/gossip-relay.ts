import type { Connection } from "#mesh/connection.js";
import { type GossipChannel, type Gossiper, relayOnlyGossiper } from "#mesh/gossip.js";
import type { GossipSource, GossipSpreader } from "#mesh/gossip-spreader.js";
import type { MeshMessage } from "#mesh/messages.js";
import type { NeighbourTable } from "#mesh/neighbour-table.js";
import type { PeerName } from "#mesh/peer.js";
import type { Routing } from "#mesh/routing.js";
import type { Clock } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";

/** Unicasts and broadcasts pass at most this many peers while routes change. A larger count of another peer is reduced to it. */
const MAX_HOPS = 32;
/** Channels are few; a peer that invents names must not fill our memory. */
const MAX_CHANNELS = 32;

export type GossipMessage = Extract<MeshMessage, { channel: string }>;

/** The collaborators of a {@link GossipRelay}. */
export interface GossipRelayDeps {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly neighbours: NeighbourTable;
  readonly routing: Routing;
  readonly spreader: GossipSpreader;
}

/** A channel at this peer. */
interface Channel extends GossipSource {
  gossiper: Gossiper;
}

/** Named channels: delivers messages for this peer to the channel's gossiper, and forwards those for others. */
export class GossipRelay {
  readonly #deps: GossipRelayDeps;
  readonly #channels = new Map<string, Channel>();

  constructor(deps: GossipRelayDeps) {
    this.#deps = deps;
  }

  /** Registers the receiving end of a channel. @returns its sending end */
  channel(name: string, gossiper: Gossiper): GossipChannel {
    const channel = this.#channels.get(name);
    // Messages that came before were relayed only.
    if (channel !== undefined) channel.gossiper = gossiper;
    else this.#channels.set(name, this.#newChannel(name, gossiper));
    const from = this.#deps.self;
    return {
      unicast: (to, payload) => this.#unicast({ kind: "unicast", channel: name, from, to, hops: MAX_HOPS, payload }),
      broadcast: (payload) => this.#broadcast({ kind: "broadcast", channel: name, from, hops: MAX_HOPS, payload }),
      gossip: (payload) => this.#spread({ kind: "gossip", channel: name, from, payload }, undefined),
    };
  }

  /** Handles a message of a neighbour. @throws what the gossiper throws; WEAVE_MESSAGE_MALFORMED */
  receive(from: Connection, message: GossipMessage): void {
    const { self } = this.#deps;
    switch (message.kind) {
      case "unicast":
        if (message.to === self) this.#channel(message.channel).gossiper.onUnicast(message.from, message.payload);
        else this.#unicast(message);
        return;
      case "broadcast":
        if (message.from === self) return;
        this.#broadcast(message);
        this.#channel(message.channel).gossiper.onBroadcast(message.from, message.payload);
        return;
      case "gossip": {
        const news = this.#channel(message.channel).gossiper.onGossip(message.from, message.payload);
        if (news !== undefined) this.#spread({ ...message, payload: news }, from);
      }
    }
  }

  /** Sends a neighbour the state of all channels. */
  sendStates(to: Connection): void {
    for (const channel of this.#channels.values()) channel.sendState(to);
  }

  /** A channel of that name; one without a gossiper is relayed only. @throws WEAVE_MESSAGE_MALFORMED */
  #channel(name: string): Channel {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      if (this.#channels.size >= MAX_CHANNELS)
        throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `too many channels; ${name} is not relayed`);
      channel = this.#newChannel(name, relayOnlyGossiper(this.#deps.clock));
      this.#channels.set(name, channel);
    }
    return channel;
  }

  #newChannel(name: string, gossiper: Gossiper): Channel {
    const from = this.#deps.self;
    return {
      gossiper,
      sendState(to) {
        const payload = this.gossiper.state();
        if (payload !== undefined) to.send({ kind: "gossip", channel: name, from, payload });
      },
    };
  }

  #unicast(message: Extract<MeshMessage, { kind: "unicast" }>): boolean {
    const { neighbours, routing } = this.#deps;
    const next = routing.gossip.unicast(message.to);
    // A new neighbour is connected before the routes include it: its first request gets an answer at once.
    const connection = neighbours.get(message.to) ?? neighbours.get(next ?? message.to);
    if (connection === undefined || message.hops <= 0 || connection.congested) return false;
    connection.send(withOneHopLess(message));
    return true;
  }

  #broadcast(message: Extract<MeshMessage, { kind: "broadcast" }>): void {
    if (message.hops <= 0) return;
    const { neighbours, routing, spreader } = this.#deps;
    const forwarded = [withOneHopLess(message)];
    for (const next of routing.gossip.flood(message.from)) {
      const connection = neighbours.get(next);
      if (connection !== undefined) spreader.send(this.#channel(message.channel), connection, forwarded);
    }
  }

  #spread(message: Extract<MeshMessage, { kind: "gossip" }>, except: Connection | undefined): void {
    this.#deps.spreader.spread(this.#channel(message.channel), [message], except);
  }
}

const withOneHopLess = <T extends { readonly hops: number }>(message: T): T => ({
  ...message,
  hops: Math.min(message.hops, MAX_HOPS) - 1,
});
