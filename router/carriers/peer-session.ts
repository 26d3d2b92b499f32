import { hkdf } from "#mesh/handshake/noise.js";
import type { OverlayConnection, OverlayDiagnostics, OverlayLink, OverlayStatus } from "#mesh/overlay.js";
import { type PeerName, peerText } from "#mesh/peer.js";
import type {
  Carrier,
  CarrierDeps,
  CarrierKind,
  CarrierLink,
  CarrierNextHop,
  PathMeasurements,
  RecordNextHop,
  SessionEvent,
} from "#router/carriers/carrier.js";
import { DataKeys, type KeyEffect, REKEY_MS } from "#router/carriers/keys.js";
import type { CarrierMessages } from "#router/carriers/messages.js";
import { PathSelector, type Selection } from "#router/carriers/selector.js";
import { NEXT_HOP_EVENT_LOOP } from "#router/datapath/next-hop.js";
import { every, type Timer } from "#src/clock.js";
import { encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";
import { macNumber } from "#src/mac.js";

export interface PeerSessionOptions {
  /** Our number for the session, in the datapath and in the other end's datagrams. */
  readonly session: number;
  readonly link: OverlayLink;
  /** The carriers that both ends agreed on, best first. */
  readonly kinds: readonly CarrierKind[];
}

export interface PeerSessionDeps extends CarrierDeps {
  readonly messages: CarrierMessages;
  /** Called when the session has stopped. */
  readonly closed: () => void;
}

/** What a session measures, for metrics. The counts begin with the session. */
export interface SessionFigures {
  /** The carrier in use; undefined: none is usable, or the session has ended. */
  readonly carrier: string | undefined;
  /** The agreed carriers, best first; empty when the session has ended. */
  readonly carriers: readonly string[];
  /** Smoothed round trip; undefined: it was not measured of late. */
  readonly roundTripMs: number | undefined;
  readonly counts: SessionCounts;
}

export interface SessionCounts {
  /** How often the carrier in use has failed, or a better one has replaced it. */
  readonly carrierChanges: number;
  /** Changes of the data keys. */
  readonly rekeys: number;
  /** Records that were expected and have arrived, by direction: see {@link PathMeasurements}. */
  readonly sentExpected: number;
  readonly sentArrived: number;
  readonly receivedExpected: number;
  readonly receivedArrived: number;
}

/** The overlay part of one connection: its data keys, its carriers, and the choice among them. */
export class PeerSession implements OverlayConnection {
  readonly #session: number;
  readonly #link: OverlayLink;
  readonly #deps: PeerSessionDeps;
  readonly #keys: DataKeys;
  /** In the order that both ends agreed on. */
  readonly #agreed: readonly Carrier[];
  /** In the order of {@link Carrier.follows}, best first. */
  #carriers: readonly Carrier[];
  readonly #selector: PathSelector<Carrier>;
  #rekeying: Timer | undefined;
  #wake: Timer | undefined;
  #ready = false;
  #stopped = false;
  #carrierChanges = 0;
  /** The next hop that the threads use. */
  #nextHop: CarrierNextHop | undefined;
  /** The last next hop on the event loop: after a change the threads may still hand over some records. */
  #records: RecordNextHop | undefined;

  constructor({ session, link, kinds }: PeerSessionOptions, deps: PeerSessionDeps) {
    this.#session = session;
    this.#link = link;
    this.#deps = deps;
    this.#keys = new DataKeys(link.outbound, link.secret, deps.random);
    const carrierLink: CarrierLink = {
      session,
      peer: link.remote.name,
      peerText: peerText(link.remote),
      outbound: link.outbound,
      encrypted: link.encrypted,
      remoteHost: link.remoteHost,
      localHost: link.localHost,
      remotePort: link.remotePort,
      send: (message, sent) => link.send(encode(message), sent),
      carried: () => link.carried(),
      secretFor: (purpose) => hkdf(link.secret, Buffer.from(`carrier ${purpose}`), 1)[0],
      changed: () => this.#update(),
    };
    this.#agreed = kinds.map((kind) => kind.open(carrierLink, deps));
    this.#carriers = preferred(this.#agreed);
    link.secret.fill(0);
    this.#selector = new PathSelector(this.#carriers);
  }

  /** Opens the session in the threads, and sends our session number to the other end. */
  start(): void {
    const { datapath, clock } = this.#deps;
    const { remote, encrypted, remoteHost: host } = this.#link;
    datapath.send({ do: "open", session: this.#session, peer: macNumber(remote.name), encrypted, host });
    this.#apply(this.#keys.start());
    this.#rekeying = every(clock, REKEY_MS, () => this.#apply(this.#keys.rekey()));
    this.#link.send(encode({ kind: "open", session: this.#session }));
  }

  get peer(): PeerName {
    return this.#link.remote.name;
  }

  get nextHop(): number {
    return this.#session;
  }

  get name(): string {
    return this.#shown.name;
  }

  status(): OverlayStatus {
    const { selection, exhausted, reason } = this.#selector;
    const carrier = this.#shown;
    const notPreferred = selection !== undefined && carrier !== this.#carriers[0];
    return {
      encrypted: this.#link.encrypted,
      mtu: carrier.mtu,
      fallback: notPreferred ? { reason: selection.reason, since: this.#timeText(selection.since) } : undefined,
      failure: exhausted ? reason : undefined,
      restriction: carrier.restriction,
      carrier: carrier.attributes(),
    };
  }

  diagnostics(): OverlayDiagnostics {
    const { selection } = this.#selector;
    return {
      keyEpoch: this.#keys.epoch,
      selection: selection && {
        carrier: selection.carrier.name,
        reason: selection.reason,
        since: this.#timeText(selection.since),
      },
      carriers: this.#carriers.map((carrier) => {
        const { condition, reason, since } = carrier.state;
        const figures = { ...carrier.diagnostics() };
        return { name: carrier.name, condition, reason, since: this.#timeText(since), figures };
      }),
    };
  }

  figures(): SessionFigures {
    const measured = this.#carriers.flatMap((carrier) => carrier.measurements?.() ?? []);
    const sum = (read: (each: PathMeasurements) => number) => measured.reduce((total, each) => total + read(each), 0);
    return {
      carrier: this.#selector.selection?.carrier.name,
      carriers: this.#carriers.map(({ name }) => name),
      roundTripMs: measured.find(({ roundTripMs }) => roundTripMs !== undefined)?.roundTripMs,
      counts: {
        carrierChanges: this.#carrierChanges,
        rekeys: this.#keys.epoch,
        sentExpected: sum(({ sent }) => sent.expected),
        sentArrived: sum(({ sent }) => sent.arrived),
        receivedExpected: sum(({ received }) => received.expected),
        receivedArrived: sum(({ received }) => received.arrived),
      },
    };
  }

  receive(bytes: Uint8Array): void {
    const { carrier: name, message } = this.#deps.messages.decode(bytes);
    if (name === undefined)
      return message.kind === "open" ? this.#open(message.session) : this.#apply(this.#keys.receive(message));
    const carrier = this.#carriers.find((each) => each.name === name);
    if (carrier === undefined)
      throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `${message.kind}: the ends have not agreed on ${name}`);
    carrier.receive(message);
  }

  onEvent(event: SessionEvent): void {
    if (event.event === "record") return this.#sendRecord(event.record);
    for (const carrier of this.#carriers) carrier.onEvent(event);
  }

  onLinksChanged(): void {
    for (const carrier of this.#carriers) carrier.onLinksChanged();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#rekeying?.cancel();
    this.#wake?.cancel();
    for (const carrier of this.#carriers) carrier.stop();
    this.#keys.close();
    this.#deps.datapath.send({ do: "close", session: this.#session });
    this.#deps.closed();
  }

  /** Handles the other end's session number: the other end can open our records now. */
  #open(remoteSession: number): void {
    if (this.#ready) throw new WeaveError("WEAVE_MESSAGE_MALFORMED", "the overlay is open already");
    this.#ready = true;
    this.#deps.datapath.send({ do: "remote", session: this.#session, remoteSession });
    for (const carrier of this.#carriers) carrier.start();
    this.#update();
  }

  /** Updates the choice of a carrier, after a change of a state or when the selector is due. */
  #update(): void {
    const { clock } = this.#deps;
    this.#wake?.cancel();
    if (this.#stopped || !this.#ready) return;
    this.#reorder();
    const before = this.#selector.selection;
    if (this.#selector.update(clock.now())) {
      if (before !== undefined) this.#carrierChanges++;
      // All of them: a carrier of the kernel may have carried frames since an earlier connection.
      for (const carrier of this.#carriers) carrier.selected(carrier === this.#selector.selection?.carrier);
      this.#logChange(before);
    }
    this.#setNextHop();
    this.#link.passes(this.#selector.selection !== undefined);
    this.#link.doubt(this.#carriers.every(({ doubtful }) => doubtful));
    const { wakeAt } = this.#selector;
    if (!this.#stopped && Number.isFinite(wakeAt))
      this.#wake = clock.after(Math.max(0, wakeAt - clock.now()), () => this.#update());
  }

  #reorder(): void {
    const order = preferred(this.#agreed);
    if (order.every((carrier, i) => carrier === this.#carriers[i])) return;
    this.#carriers = order;
    this.#selector.reorder(order);
  }

  /** Sets the next hop of the threads: the carrier in use, or, while that is in the kernel, the best usable carrier of records. */
  #setNextHop(): void {
    const carrier = this.#selector.selection?.carrier;
    const hop =
      carrier?.nextHop ??
      this.#carriers.find(({ nextHop, state }) => nextHop !== undefined && state.condition === "usable")?.nextHop;
    if (hop === undefined || hop === this.#nextHop) return;
    this.#nextHop = hop;
    if (hop.kind === NEXT_HOP_EVENT_LOOP) this.#records = hop;
    const nextHop =
      hop.kind === NEXT_HOP_EVENT_LOOP ? { kind: hop.kind, recordBytes: hop.recordBytes } : { kind: hop.kind };
    this.#deps.datapath.send({ do: "next-hop", session: this.#session, nextHop });
  }

  /** Sends a record of a thread. The carrier may have changed since the thread sealed it. */
  #sendRecord(record: Uint8Array): void {
    const lane = record[0] >>> 4;
    const bytes = record.length - 1;
    const sent = () => this.#deps.datapath.send({ do: "record-sent", session: this.#session, lane, bytes });
    if (this.#records === undefined) sent();
    else this.#records.send(record, sent);
  }

  /** The carrier for status: the one in use, or the preferred one while none is in use. */
  get #shown(): Carrier {
    return this.#selector.selection?.carrier ?? this.#carriers[0];
  }

  #logChange(before: Selection<Carrier> | undefined): void {
    const { log } = this.#deps;
    const { selection, reason } = this.#selector;
    const peer = peerText(this.#link.remote);
    if (selection === undefined) return log.warn("no carrier is usable", { peer, why: reason });
    const carrier = selection.carrier.name;
    if (selection.carrier !== this.#carriers[0])
      log.warn("frames take a carrier that is not the preferred one", { peer, carrier, why: selection.reason });
    else if (before !== undefined)
      log.info("frames take the preferred carrier again", { peer, carrier, after: before.reason });
  }

  #timeText(at: number): string {
    const { clock } = this.#deps;
    return new Date(clock.wall() + at - clock.now()).toISOString();
  }

  #apply(effects: readonly KeyEffect[]): void {
    for (const effect of effects) {
      if (effect.do === "send") this.#link.send(encode(effect.message));
      else {
        this.#deps.datapath.send({ ...effect, do: "key", session: this.#session });
        // Each thread has a copy of its own.
        effect.key.fill(0);
      }
    }
  }
}

/** The agreed carriers in the order of this end: see {@link Carrier.follows}. */
function preferred(agreed: readonly Carrier[]): readonly Carrier[] {
  const order = [...agreed];
  for (const carrier of agreed) {
    const before = order.findIndex(({ name }) => name === carrier.follows);
    const at = order.indexOf(carrier);
    if (before <= at) continue;
    order.splice(at, 1);
    order.splice(before, 0, carrier);
  }
  return order;
}
