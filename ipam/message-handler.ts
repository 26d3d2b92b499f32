import type { Bootstrap } from "#ipam/agreement/bootstrap.js";
import type { Confirmations } from "#ipam/agreement/confirmations.js";
import type { Consents } from "#ipam/agreement/consents.js";
import type { OtherRanges } from "#ipam/agreement/other-ranges.js";
import type { OwnershipCheck } from "#ipam/agreement/ownership-check.js";
import type { Participants } from "#ipam/agreement/participants.js";
import type { RejectedMessages } from "#ipam/agreement/rejected-messages.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { RingSync } from "#ipam/agreement/ring-sync.js";
import type { Stands } from "#ipam/agreement/stands.js";
import type { Takeovers } from "#ipam/agreement/takeover.js";
import type { ContestedAddresses } from "#ipam/allocation/contested-addresses.js";
import type { Donations } from "#ipam/allocation/donations.js";
import type { Donors } from "#ipam/allocation/donors.js";
import type { WaitQueue } from "#ipam/allocation/wait-queue.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import { decodeIpamMessage, fromWire, highestCounter, type IpamMessage } from "#ipam/wire/ipam-message.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import type { Gossiper } from "#mesh/gossip.js";
import type { PeerName } from "#mesh/peer.js";
import { WeaveError } from "#src/errors.js";

/** Collaborators of a {@link MessageHandler}, among them the receiver of each kind of message. */
export interface MessageHandlerDeps {
  readonly self: PeerName;
  readonly range: Subnet;
  /** Returns the network's time, in milliseconds since the Unix epoch. */
  readonly time: () => number;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly sync: RingSync;
  readonly rejections: RejectedMessages;
  readonly consents: Consents;
  readonly stands: Stands;
  readonly bootstrap: Bootstrap;
  readonly participants: Participants;
  readonly otherRanges: OtherRanges;
  readonly ownershipCheck: OwnershipCheck;
  readonly takeovers: Takeovers;
  readonly confirmations: Confirmations;
  readonly donors: Donors;
  readonly donations: Donations;
  readonly contested: ContestedAddresses;
  readonly waitQueue: WaitQueue;
}

/** Questions and answers about decisions, of peers with the same ring. */
type AboutDecisions = Extract<IpamMessage, { kind: "title" | "titles" | "agree" | "agreed" | "confirm" | "confirmed" }>;

/** The receiving end of the IPAM channel: validates each message, and passes it to its receiver. */
export class MessageHandler implements Gossiper {
  readonly #deps: MessageHandlerDeps;

  constructor(deps: MessageHandlerDeps) {
    this.#deps = deps;
  }

  onUnicast(from: PeerName, payload: Uint8Array, neighbour: PeerName): void {
    this.#handle(from, payload, neighbour);
  }

  onBroadcast(from: PeerName, payload: Uint8Array, neighbour: PeerName): void {
    this.#handle(from, payload, neighbour);
  }

  onGossip(from: PeerName, payload: Uint8Array, neighbour: PeerName): Uint8Array | undefined {
    const news = this.#handle(from, payload, neighbour);
    return news === undefined ? undefined : this.#deps.sender.encode(news);
  }

  state(): Uint8Array {
    return this.#deps.sender.encode(this.#deps.sync.announcement());
  }

  #handle(from: PeerName, payload: Uint8Array, neighbour: PeerName): IpamMessage | undefined {
    const { rejections } = this.#deps;
    rejections.neighbour = neighbour;
    try {
      const message = this.#open(from, payload);
      return message === undefined ? undefined : this.#receive(from, message);
    } finally {
      rejections.neighbour = undefined;
    }
  }

  /** Decodes a message of a peer with the same range; undefined for another range, which is recorded. @throws WEAVE_MESSAGE_MALFORMED */
  #open(from: PeerName, payload: Uint8Array): IpamMessage | undefined {
    const { self, range, time, otherRanges, participants } = this.#deps;
    if (from === self) return undefined;
    const { range: theirs, body } = decodeIpamMessage(payload);
    if (theirs !== range.text) {
      if (body.kind !== "digest") return undefined;
      otherRanges.note(from, theirs, body.ring ?? undefined, this.#receiveStand(from, body, theirs));
      return undefined;
    }
    otherRanges.forget(from);
    participants.note(from);
    const message = fromWire(body, range);
    // Each increment of an honest peer takes more than a millisecond: its counters never exceed the time.
    if (highestCounter(message) > time() + MAX_AHEAD_MS)
      throw new WeaveError(
        "WEAVE_MESSAGE_MALFORMED",
        `the counters of an IPAM message (${message.kind}) are implausible`,
      );
    return message;
  }

  /** Passes a message to its receiver. @returns the new part of it, to be passed on @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  #receive(from: PeerName, message: IpamMessage): IpamMessage | undefined {
    const { state, sync, bootstrap, donors, donations, contested, waitQueue } = this.#deps;
    switch (message.kind) {
      case "digest":
        this.#receiveStand(from, message, this.#deps.range.text);
        sync.compare(from, message.ring);
        return undefined;
      case "ring":
        sync.receiveRing(from, message);
        return undefined;
      case "news":
        return this.#receiveNews(from, message);
      case "title":
      case "titles":
      case "agree":
      case "agreed":
      case "confirm":
      case "confirmed":
        if (sync.isSameRing(from, message.ring)) this.#receiveDecisions(from, message);
        return undefined;
      case "election":
        if (state.ring === undefined) return bootstrap.receive(message.votes, from) ? message : undefined;
        sync.sendRing(from, false);
        return undefined;
      case "need":
        if (state.ring === undefined) bootstrap.requestedByObserver();
        else sync.sendRing(from, false);
        return undefined;
      case "request":
        donations.request(from, message.bounds);
        return undefined;
      case "denied":
        donors.denied(from, message.bounds);
        waitQueue.retry();
        return undefined;
      case "hint":
        return this.#receiveHint(message);
      case "keep":
        this.#receiveKeep(from, message);
        return undefined;
      case "kept":
        contested.refused(from, message.held);
        return undefined;
    }
  }

  /** Handles questions and answers about decisions of this peer's ring. @throws WEAVE_STORE, WEAVE_MESSAGE_MALFORMED */
  #receiveDecisions(from: PeerName, message: AboutDecisions): void {
    const { sync, consents, takeovers, ownershipCheck, confirmations } = this.#deps;
    if (message.kind === "title") {
      sync.sendTitles(from, message.spans);
      return;
    }
    if ("consents" in message) consents.receive(message.ring, message.consents, from);
    sync.merge(message.spans, from);
    switch (message.kind) {
      case "titles":
        break;
      case "agree":
        takeovers.answer(from, message);
        break;
      case "agreed":
        ownershipCheck.answered(from, message.id);
        takeovers.answered(from, message);
        break;
      case "confirm":
        confirmations.answer(from, message);
        break;
      case "confirmed":
        confirmations.answered(from, message);
        break;
    }
  }

  /** @throws WEAVE_STORE */
  #receiveKeep(from: PeerName, { addresses, former }: Extract<IpamMessage, { kind: "keep" }>): void {
    const { state, stands, contested } = this.#deps;
    if (state.ring === undefined) return;
    const isUnseen = former !== undefined && stands.receiveFormer(from, state.ring, former);
    contested.transfer(from, addresses, isUnseen);
  }

  /** @returns whether the sender has signed that it stands by that ring */
  #receiveStand(
    from: PeerName,
    { ring, stand }: { readonly ring?: { readonly id: string } | null; readonly stand?: Uint8Array | null },
    range: string,
  ): boolean {
    if (ring == null || stand == null) return false;
    return this.#deps.stands.receive(from, { range, ring: ring.id, signature: stand }, from);
  }

  #receiveNews(from: PeerName, message: Extract<IpamMessage, { kind: "news" }>): IpamMessage | undefined {
    const { state, sync, donors, waitQueue, consents } = this.#deps;
    if (!sync.isSameRing(from, message.ring)) return undefined;
    // The wait for an answer must end before the ring is set, which retries blocked requests.
    donors.donated(from);
    consents.receive(message.ring, message.consents, from);
    const news = state.merge(message.spans, from);
    sync.explainGaps();
    if (news.length > 0) return { ...message, spans: news };
    waitQueue.retry();
    return undefined;
  }

  #receiveHint(message: Extract<IpamMessage, { kind: "hint" }>): IpamMessage | undefined {
    const { self, donors, donations, waitQueue } = this.#deps;
    if (message.peer === self) {
      donations.receiveOwnHint(message.version);
      return undefined;
    }
    if (!donors.receiveHint(message.peer, message.version, message.free)) return undefined;
    waitQueue.retry();
    return message;
  }
}
