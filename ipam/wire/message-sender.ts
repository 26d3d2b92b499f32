import { encodeIpamMessage, type IpamMessage } from "#ipam/wire/ipam-message.js";
import type { GossipChannel } from "#mesh/gossip.js";
import type { PeerName } from "#mesh/peer.js";

/** Sends IPAM messages on the gossip channel. Messages before {@link open} are dropped: repair makes up for them. */
export class MessageSender {
  readonly #range: string;
  #channel: GossipChannel | undefined;

  /** @param range the range of this peer, as text: each message carries it */
  constructor(range: string) {
    this.#range = range;
  }

  open(channel: GossipChannel): void {
    this.#channel = channel;
  }

  /** To one peer. False: there is no route to it now. */
  unicast(to: PeerName, message: IpamMessage): boolean {
    return this.#channel?.unicast(to, this.encode(message)) ?? false;
  }

  /** To all peers, by way of a few random neighbours. */
  gossip(message: IpamMessage): void {
    this.#channel?.gossip(this.encode(message));
  }

  encode(message: IpamMessage): Uint8Array {
    return encodeIpamMessage(this.#range, message);
  }
}
