import { encodeIpamMessage, type IpamMessage } from "#ipam/wire/ipam-message.js";
import type { GossipChannel } from "#mesh/gossip.js";
import type { PeerName } from "#mesh/peer.js";

/** Sends IPAM messages on the gossip channel. Messages before {@link open} are dropped; repair replaces them. */
export class MessageSender {
  readonly #range: string;
  #channel: GossipChannel | undefined;

  /** @param range the range of this peer, as text, which each message contains */
  constructor(range: string) {
    this.#range = range;
  }

  open(channel: GossipChannel): void {
    this.#channel = channel;
  }

  /** Sends to one peer. @returns false if there is no route to it */
  unicast(to: PeerName, message: IpamMessage): boolean {
    return this.#channel?.unicast(to, this.encode(message)) ?? false;
  }

  /** Sends to all peers by gossip. */
  gossip(message: IpamMessage): void {
    this.#channel?.gossip(this.encode(message));
  }

  encode(message: IpamMessage): Uint8Array {
    return encodeIpamMessage(this.#range, message);
  }
}
