import type { Connection } from "#mesh/connection/connection.js";
import type { NeighbourTable } from "#mesh/connection/neighbour-table.js";
import type { NewsSource } from "#mesh/gossip/source.js";
import type { GossipSpreader } from "#mesh/gossip/spreader.js";
import { type GossipChannel, type Gossiper, MAX_RELAYED_BYTES, type News, relayOnlyGossiper } from "#mesh/gossip.js";
import type { GossipTraffic } from "#mesh/gossip-traffic.js";
import type { MeshMessage } from "#mesh/messages.js";
import type { PeerName } from "#mesh/peer.js";
import type { Routing } from "#mesh/topology/routing.js";
import type { Clock } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";

/** Maximum number of hops of a unicast or broadcast, which may circle while routes change. A larger count of another peer is reduced. */
const MAX_HOPS = 32;
/** Maximum number of channels: a peer that invents names must not fill the memory. */
const MAX_CHANNELS = 32;

export type GossipMessage = Extract<MeshMessage, { channel: string }>;

/** The collaborators of a {@link GossipRelay}. */
export interface GossipRelayDeps {
  readonly self: PeerName;
  readonly clock: Clock;
  readonly neighbours: NeighbourTable;
  readonly routing: Routing;
  readonly spreader: GossipSpreader;
  readonly traffic: Pick<GossipTraffic, "use">;
}

/** A gossip channel at this peer. */
interface Channel extends NewsSource {
  gossiper: Gossiper;
}

/** Relays messages of gossip channels: delivers those for this peer to the channel's gossiper, and forwards the others. */
export class GossipRelay {
  readonly #deps: GossipRelayDeps;
  readonly #channels = new Map<string, Channel>();
  /** The neighbour whose message is being handled: answers to a request come by unicast, and are passed on from within the gossiper. */
  #source: Connection | undefined;

  constructor(deps: GossipRelayDeps) {
    this.#deps = deps;
  }

  /** Registers the receiving end of a channel. @returns its sending end */
  channel(name: string, gossiper: Gossiper): GossipChannel {
    this.#deps.traffic.use(name);
    const channel = this.#channels.get(name);
    // The channel may exist already: messages that arrived before the registration were relayed only.
    if (channel !== undefined) channel.gossiper = gossiper;
    else this.#channels.set(name, this.#newChannel(name, gossiper));
    const from = this.#deps.self;
    return {
      unicast: (to, payload) => this.#unicast({ kind: "unicast", channel: name, from, to, hops: MAX_HOPS, payload }),
      broadcast: (payload) => this.#broadcast({ kind: "broadcast", channel: name, from, hops: MAX_HOPS, payload }),
      gossip: (payload, notice) =>
        this.#publish(
          this.#channel(name),
          from,
          { payload, ...notice },
          // News of others that a neighbour has just sent are known to it.
          notice === undefined || notice.subject === from ? undefined : this.#source,
        ),
    };
  }

  /** Handles a message of a neighbour. @throws the error of the gossiper; WEAVE_MESSAGE_MALFORMED */
  receive(from: Connection, message: GossipMessage): void {
    this.#source = from;
    try {
      this.#receive(from, message);
    } finally {
      this.#source = undefined;
    }
  }

  #receive(from: Connection, message: GossipMessage): void {
    const { self, spreader } = this.#deps;
    const neighbour = from.remote!.name;
    const channel = this.#channel(message.channel);
    switch (message.kind) {
      case "unicast":
        if (message.to === self) channel.gossiper.onUnicast(message.from, message.payload, neighbour);
        else this.#unicast(message);
        return;
      case "broadcast":
        if (message.from === self) return;
        if (message.payload.length > MAX_RELAYED_BYTES)
          throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `a broadcast of ${message.payload.length} bytes`);
        this.#broadcast(message);
        channel.gossiper.onBroadcast(message.from, message.payload, neighbour);
        return;
      case "gossip":
      case "push":
        return this.#merge(from, message);
      case "notices": {
        for (const notice of message.notices) spreader.noticed(channel, from, notice);
        const lacking = message.notices.filter((notice) => channel.gossiper.onNotice?.(notice, neighbour));
        if (lacking.length > 0) spreader.lacked(channel, from);
        return;
      }
      case "branch":
        return spreader.branch(channel, from, message.grown);
    }
  }

  /** Merges a payload, and passes on what is new. */
  #merge(from: Connection, message: Extract<GossipMessage, { kind: "gossip" | "push" }>): void {
    const { spreader } = this.#deps;
    const channel = this.#channel(message.channel);
    const found = channel.gossiper.onGossip(message.from, message.payload, from.remote!.name);
    if (found === undefined) {
      // Who keeps no data answers no request: it gets news, not notices.
      if (message.kind === "push" && channel.gossiper.onNotice !== undefined) spreader.repeated(channel, from);
    } else if (found instanceof Uint8Array) this.#spread({ ...message, payload: found }, from);
    else for (const news of found) this.#publish(channel, message.from, news, from);
  }

  /** Notifies all channels of a connection that has opened, before anything is sent over it. */
  connected({ remote }: Connection): void {
    for (const { gossiper } of this.#channels.values()) gossiper.connected?.(remote!.name);
  }

  /** Sends the state of all channels to a neighbour. */
  sendStates(to: Connection): void {
    for (const channel of this.#channels.values()) channel.sendState(to);
  }

  /** Returns a channel; a new one is relay-only. @throws WEAVE_MESSAGE_MALFORMED when there are too many */
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
      name,
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
    // The routes include a new neighbour with a delay; its first request is answered directly.
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

  #publish(channel: Channel, from: PeerName, news: News, except: Connection | undefined): void {
    const { payload, notice, subject } = news;
    if (notice === undefined || subject === undefined)
      this.#spread({ kind: "gossip", channel: channel.name, from, payload }, except);
    else this.#deps.spreader.publish(channel, from, { payload, notice, subject }, except);
  }

  #spread(message: Extract<MeshMessage, { kind: "gossip" | "push" }>, except: Connection | undefined): void {
    this.#deps.spreader.spread(this.#channel(message.channel), [message], except);
  }
}

const withOneHopLess = <T extends { readonly hops: number }>(message: T): T => ({
  ...message,
  hops: Math.min(message.hops, MAX_HOPS) - 1,
});
