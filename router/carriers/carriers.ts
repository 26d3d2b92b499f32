import { meaningOfList, type Overlay, type OverlayLink } from "#mesh/overlay.js";
import type { PeerName } from "#mesh/peer.js";
import type { CarrierDeps, CarrierKind, SessionEvent } from "#router/carriers/carrier.js";
import { MeasuredPeers } from "#router/carriers/measured-peers.js";
import { CarrierMessages } from "#router/carriers/messages.js";
import { PeerSession, type SessionFigures } from "#router/carriers/peer-session.js";
import { WeaveError } from "#src/errors.js";

export interface CarriersDeps extends CarrierDeps {
  /** The carriers of this router, best first. */
  readonly carriers: readonly CarrierKind[];
}

/** The overlay of this router. Opens a session for each neighbour, with the carriers that both ends have. */
export class Carriers implements Overlay {
  readonly carriers: readonly string[];
  readonly #deps: CarriersDeps;
  readonly #messages: CarrierMessages;
  readonly #sessions = new Map<number, PeerSession>();
  readonly #measured = new MeasuredPeers();

  /** @throws WEAVE_BOUNDS when two carriers have one name or messages of one kind, or when the list contains only sleeve */
  constructor(deps: CarriersDeps) {
    this.#deps = deps;
    this.#messages = new CarrierMessages(deps.carriers);
    this.carriers = deps.carriers.map(({ name }) => name);
    if (meaningOfList(this.carriers).length !== this.carriers.length)
      throw new WeaveError("WEAVE_BOUNDS", "a list of sleeve alone means sleeve and stream to others");
  }

  /** Opens a session. @param link its list must contain only carriers of this router */
  open(link: OverlayLink): PeerSession {
    let session: number;
    do session = 1 + this.#deps.random.below(0xffffffff);
    while (this.#sessions.has(session));
    const opened: PeerSession = new PeerSession(
      { session, link, kinds: link.carriers.map((name) => this.#deps.carriers.find((kind) => kind.name === name)!) },
      { ...this.#deps, messages: this.#messages, closed: () => this.#closed(session, opened) },
    );
    this.#sessions.set(session, opened);
    opened.start();
    return opened;
  }

  /** What was measured of each neighbour, connected or not. The counts go on from session to session. */
  figures(): Map<PeerName, SessionFigures> {
    return this.#measured.figures(this.#sessions.values());
  }

  #closed(session: number, opened: PeerSession): void {
    if (this.#sessions.delete(session)) this.#measured.ended(opened);
  }

  /** Handles a change of this host's links or routes. */
  linksChanged(): void {
    for (const session of this.#sessions.values()) session.onLinksChanged();
  }

  /** Handles an event of the frame threads for one session. */
  onEvent(event: SessionEvent): void {
    this.#sessions.get(event.session)?.onEvent(event);
  }
}
