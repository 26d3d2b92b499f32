import * as z from "zod/mini";
import type { Attributes } from "#mesh/overlay.js";
import type {
  Carrier,
  CarrierDeps,
  CarrierKind,
  CarrierLink,
  CarrierState,
  PathMeasurements,
  SessionEvent,
} from "#router/carriers/carrier.js";
import { type BatchEffect, BatchProbe } from "#router/carriers/sleeve/batch-probe.js";
import { Path, type PathEffect } from "#router/carriers/sleeve/path.js";
import { type ArrivalReport, RecordSize } from "#router/carriers/sleeve/record-size.js";
import { RoundTrip } from "#router/carriers/sleeve/round-trip.js";
import { NEXT_HOP_DATAGRAMS } from "#router/datapath/next-hop.js";
import { decodePathMessage, encodePathMessage, type PathMessage } from "#router/datapath/path-message.js";
import { innerMtu } from "#router/datapath/record.js";
import { FLOOR_DATAGRAM } from "#router/datapath/session.js";
import type { Timer } from "#src/clock.js";
import { datagramOverhead, type Endpoint, endpoint, endpointText, hostText } from "#src/net/endpoint.js";
import { familyOf, isAddress } from "#src/net/family.js";

/** MTU assumed for a route of unknown MTU: that of Ethernet. */
const USUAL_MTU = 1_500;
/** Largest MTU that is probed: that of jumbo frames. */
const LARGEST_MTU = 9_216;

const countShape = z.number().check(z.int(), z.gte(0), z.lte(0xffffffff));
const arrivalsShape = z.object({
  kind: z.literal("arrivals"),
  expected: countShape,
  accepted: countShape,
  datagrams: countShape,
});
type ArrivalsMessage = { readonly kind: "arrivals" } & ArrivalReport;

type ControlEvent = Extract<SessionEvent, { event: "control" }>;

/** The carrier over UDP: the frame threads send and receive records in datagrams. */
export const sleeveCarrier: CarrierKind = {
  name: "sleeve",
  messages: { arrivals: arrivalsShape },
  open: (link, deps) => new Sleeve(link, deps),
};

/** Adds a report to the counts. Late records, which an earlier report counted as lost, can make more arrive than were expected. */
function count(counts: { expected: number; arrived: number }, { expected, accepted }: ArrivalReport): void {
  counts.expected += expected;
  counts.arrived += accepted;
}

class Sleeve implements Carrier {
  readonly name = "sleeve";
  readonly nextHop = { kind: NEXT_HOP_DATAGRAMS } as const;
  readonly #link: CarrierLink;
  readonly #deps: CarrierDeps;
  readonly #recordSize: RecordSize;
  readonly #batchProbe = new BatchProbe();
  readonly #roundTrip = new RoundTrip();
  readonly #sent = { expected: 0, arrived: 0 };
  readonly #received = { expected: 0, arrived: 0 };
  #path: Path | undefined;
  #state: CarrierState;
  #doubtful = false;
  #wake: Timer | undefined;
  #batchWake: Timer | undefined;
  /** A control message that arrived before {@link start}: it is handled then. */
  #early: ControlEvent | undefined;
  /** Largest UDP payload of our own link towards the peer, in bytes; 0: unknown. */
  #ceiling = 0;
  /** Undefined until it is known: at the end that was dialled, until the first datagram arrives. */
  #address: Endpoint | undefined;
  /**
   * Source address of our datagrams: the address by which the peer reaches us, because the peer and firewalls expect answers
   * from it. Undefined when the kernel chooses this address anyway; its choice follows when the host's address changes.
   */
  #source: Endpoint | undefined;
  #stopped = false;

  constructor(link: CarrierLink, deps: CarrierDeps) {
    this.#link = link;
    this.#deps = deps;
    const now = deps.clock.now();
    this.#address = link.remotePort === undefined ? undefined : endpoint(link.remoteHost, link.remotePort);
    this.#source = isAddress(link.localHost) ? endpoint(link.localHost, 0) : undefined;
    this.#recordSize = new RecordSize(now);
    this.#state = { condition: "probing", reason: "no ping is answered yet", since: now };
  }

  get state(): CarrierState {
    return this.#state;
  }

  get doubtful(): boolean {
    return this.#doubtful;
  }

  get mtu(): number {
    return innerMtu(this.#path?.datagramBytes ?? FLOOR_DATAGRAM);
  }

  attributes(): Attributes {
    return this.#batchProbe.pass ? {} : { batches: false };
  }

  get restriction(): string | undefined {
    return this.#batchProbe.pass ? undefined : "datagrams pass one by one, but not in batches";
  }

  diagnostics(): Attributes {
    const { datagramBytes = FLOOR_DATAGRAM, reason = "not probed yet", state = "connecting" } = this.#path ?? {};
    return {
      State: state,
      RemoteAddr: this.#address === undefined ? "" : endpointText(this.#address),
      SourceAddr: this.#source === undefined ? "" : hostText(this.#source),
      DatagramBytes: datagramBytes,
      DatagramReason: reason,
      Batches: this.#batchProbe.pass ? "yes" : "no",
      DatagramsPerRecord: this.#recordSize.datagrams,
      LossPercent: Number((this.#recordSize.loss * 100).toFixed(3)),
    };
  }

  measurements(): PathMeasurements {
    const roundTripMs = this.#roundTrip.smoothedMs(this.#deps.clock.now());
    return { roundTripMs, sent: { ...this.#sent }, received: { ...this.#received } };
  }

  start(): void {
    this.#path = new Path(this.#link.outbound, this.#deps.clock.now());
    this.#setDatagrams(this.#address);
    this.#applyPath([]);
    if (this.#early !== undefined) this.#onControl(this.#early);
    this.#learnCeiling(true);
    this.#learnSource();
  }

  /** Applies a report of the records that the other end has received: the size of our records follows its losses. */
  receive(report: ArrivalsMessage): void {
    count(this.#sent, report);
    if (this.#recordSize.report(report, this.#deps.clock.now()) && this.#path !== undefined) this.#setDatagrams();
  }

  onEvent(event: SessionEvent): void {
    switch (event.event) {
      case "control":
        return this.#onControl(event);
      case "frames":
        return this.#onFrames(event.large);
      case "address-changed":
        return this.#onAddress(event.address);
      case "too-big":
        return this.#learnCeiling(true);
      case "arrivals": {
        const { expected, accepted, datagrams } = event;
        const report: ArrivalsMessage = { kind: "arrivals", expected, accepted, datagrams };
        count(this.#received, report);
        this.#link.send(report);
      }
    }
  }

  onLinksChanged(): void {
    this.#learnCeiling(false);
  }

  selected(): void {}

  stop(): void {
    this.#stopped = true;
    this.#wake?.cancel();
    this.#batchWake?.cancel();
  }

  #onControl(event: ControlEvent): void {
    const message = decodePathMessage(event.message);
    const path = this.#path;
    if (message === undefined) return;
    if (path === undefined) {
      this.#early = event;
      return;
    }
    const now = this.#deps.clock.now();
    if (message.type === "pong" && BatchProbe.owns(message.id))
      return this.#applyBatches(this.#batchProbe.pong(message.id, now));
    if (message.type === "pong") {
      this.#roundTrip.answered(message.id, now);
      return this.#applyPath(path.pong(message.id, message.datagramBytes, now));
    }
    if (!event.answered) this.#sendControl({ type: "pong", id: message.id, datagramBytes: event.datagramBytes }, 0);
    this.#applyPath(path.pinged(message.before, now));
  }

  /** Informs the path and the batch probe that frames are being sent by UDP. */
  #onFrames(large: boolean): void {
    if (this.#path === undefined) return;
    const now = this.#deps.clock.now();
    this.#applyPath(this.#path.frames(large, now));
    if (large && this.#path.state === "established") this.#applyBatches(this.#batchProbe.used(now));
  }

  #onAddress(address: Endpoint): void {
    const before = this.#address;
    this.#address = address;
    if (before !== undefined)
      this.#deps.log.info("Peer UDP address changed", { peer: this.#link.peerText, to: endpointText(address) });
  }

  /** Looks up the MTU of our own link. @param search true: start a search even if the MTU is unchanged */
  #learnCeiling(search: boolean): void {
    void this.#deps.linkMtu(this.#link.remoteHost).then((mtu = USUAL_MTU) => {
      const ceiling =
        Math.min(mtu, LARGEST_MTU) - datagramOverhead(this.#address?.family ?? familyOf(this.#link.remoteHost));
      if (this.#stopped || this.#path === undefined || (ceiling === this.#ceiling && !search)) return;
      this.#ceiling = ceiling;
      this.#applyPath(this.#path.limit(ceiling, this.#deps.clock.now()));
    });
  }

  /** Looks up whether the kernel chooses the source address that the peer expects: at the start, and when the path is lost. */
  #learnSource(): void {
    const { remoteHost, localHost } = this.#link;
    void this.#deps.sourceTo(remoteHost).then((chosen) => {
      const source = chosen === localHost || !isAddress(localHost) ? undefined : endpoint(localHost, 0);
      if (this.#stopped || source?.id === this.#source?.id) return;
      this.#source = source;
      this.#setDatagrams();
    });
  }

  #sendControl(message: PathMessage, datagramBytes: number): void {
    const { session } = this.#link;
    this.#deps.datapath.send({ do: "control", session, message: encodePathMessage(message), datagramBytes });
  }

  /** Sends the settings of datagrams to the threads. @param address undefined: the threads keep theirs, and follow the peer */
  #setDatagrams(address?: Endpoint): void {
    this.#deps.datapath.send({
      do: "datagrams",
      session: this.#link.session,
      address,
      source: this.#source,
      datagramBytes: this.#path!.datagramBytes,
      datagramsPerRecord: this.#recordSize.datagrams,
      batches: this.#batchProbe.pass,
    });
  }

  #change(condition: CarrierState["condition"], reason: string, since: number): void {
    this.#state = { condition, reason, since };
    this.#link.changed();
  }

  /** Applies the effects, and sets the timer for the path's next tick. */
  #applyPath(effects: readonly PathEffect[]): void {
    const { clock } = this.#deps;
    for (const effect of effects) this.#applyPathEffect(effect);
    this.#wake?.cancel();
    if (this.#stopped || this.#path === undefined) return;
    const now = clock.now();
    this.#wake = clock.after(Math.max(0, this.#path.wakeAt - now), () =>
      this.#applyPath(this.#path!.tick(clock.now())),
    );
  }

  #applyPathEffect(effect: PathEffect): void {
    const { clock, log } = this.#deps;
    const { peerText: peer } = this.#link;
    switch (effect.do) {
      case "ping": {
        const { id, datagramBytes } = effect;
        this.#roundTrip.sent(id, clock.now());
        log.debug("a path is probed", { peer, id, datagramBytes, state: this.#path?.state });
        return this.#sendControl({ ...effect, type: "ping" }, datagramBytes);
      }
      case "doubt":
        this.#doubtful = effect.doubtful;
        return this.#link.changed();
      case "size":
        this.#setDatagrams();
        if (effect.datagramBytes === FLOOR_DATAGRAM) this.#applyBatches(this.#batchProbe.shrunk(clock.now()));
        return log.info("Effective MTU verified", { peer, mtu: innerMtu(effect.datagramBytes) });
      case "established":
        this.#setDatagrams();
        return this.#change("usable", "datagrams pass both ways", effect.since);
      case "lost":
        this.#learnSource();
        this.#batchProbe.forget();
        this.#roundTrip.forget();
        this.#setDatagrams();
        return this.#change("failed", effect.reason, clock.now());
    }
  }

  /** Like {@link #applyPath}, for the batch probe. */
  #applyBatches(effects: readonly BatchEffect[]): void {
    const { clock } = this.#deps;
    for (const effect of effects) {
      if (effect.do === "batches") this.#reportBatches(effect.pass);
      else this.#sendPings(effect.ids, effect.batch);
    }
    this.#batchWake?.cancel();
    const { wakeAt } = this.#batchProbe;
    if (this.#stopped || wakeAt === undefined) return;
    const wait = Math.max(0, wakeAt - clock.now());
    this.#batchWake = clock.after(wait, () => this.#applyBatches(this.#batchProbe.tick(clock.now())));
  }

  #reportBatches(pass: boolean): void {
    const { log } = this.#deps;
    const { peerText: peer } = this.#link;
    if (pass) log.info("datagrams pass in batches again", { peer });
    else log.warn("datagrams pass one by one, but not in batches: each is sent alone", { peer });
    this.#setDatagrams();
  }

  /** Sends pings of full size. @param batch true: with one system call; false: one call for each */
  #sendPings(ids: readonly number[], batch: boolean): void {
    const { session } = this.#link;
    const { datagramBytes } = this.#path!;
    const pings = ids.map((id) => ({ type: "ping", id, datagramBytes }) as const);
    if (!batch) for (const ping of pings) this.#sendControl(ping, datagramBytes);
    else {
      const messages = pings.map((ping) => encodePathMessage(ping));
      this.#deps.datapath.send({ do: "batch", session, messages, datagramBytes });
    }
  }
}
