import type { MeshMessage } from "#mesh/messages.js";

/** What was sent and received on one channel, by all connections. */
export interface ChannelTraffic {
  readonly channel: string;
  readonly sent: { messages: number; bytes: number };
  readonly received: { messages: number; bytes: number };
}

/** The name under which the channels are counted that this peer relays alone: other peers choose their names. */
export const RELAYED_CHANNELS = "relayed";

/** Counts the gossip of this peer by channel, with what it relays. Bytes are those of messages before they are encrypted. */
export class GossipTraffic {
  readonly #relayed = newTraffic(RELAYED_CHANNELS);
  readonly #channels = new Map<string, ChannelTraffic>();

  /** Counts a channel by its name from now on: this peer uses it. */
  use(channel: string): void {
    if (!this.#channels.has(channel)) this.#channels.set(channel, newTraffic(channel));
  }

  /** @param bytes of the message, encoded */
  sent(message: MeshMessage, bytes: number): void {
    this.#count(message, "sent", bytes);
  }

  /** @param bytes of the message, encoded */
  received(message: MeshMessage, bytes: number): void {
    this.#count(message, "received", bytes);
  }

  /** The counts of all channels. */
  list(): ChannelTraffic[] {
    return [...this.#channels.values(), this.#relayed];
  }

  #count(message: MeshMessage, direction: "sent" | "received", bytes: number): void {
    if (!("channel" in message)) return;
    const counts = (this.#channels.get(message.channel) ?? this.#relayed)[direction];
    counts.messages++;
    counts.bytes += bytes;
  }
}

const newTraffic = (channel: string): ChannelTraffic => ({
  channel,
  sent: { messages: 0, bytes: 0 },
  received: { messages: 0, bytes: 0 },
});
