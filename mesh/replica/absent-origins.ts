import { MAX_PEERS, type PeerName } from "#mesh/peer.js";
import type { OriginVersion } from "#mesh/replica/replica-message.js";
import type { Clock } from "#src/clock.js";
import { limitSize } from "#src/limit-size.js";

/** Time for which a neighbour is not asked again for an origin without room, and the number of such neighbours of an origin. */
const NO_ROOM_MS = 5 * 60_000;
const MAX_REFUSED = 8;
/** Maximum number of unknown origins that are remembered. */
const MAX_UNKNOWN = 256;
/** Time for which an unknown origin is remembered: the topology learns of a new peer within seconds. */
const UNKNOWN_MS = 60_000;

/** Origins without records here, and why. */
export class AbsentOrigins {
  readonly #clock: Clock;
  /** Forgotten origins, and the state that was dropped. */
  readonly #forgotten = new Map<PeerName, OriginVersion>();
  /** Origins without room, and when there was none for what a neighbour sent. */
  readonly #withoutRoom = new Map<PeerName, Map<PeerName, number>>();
  readonly #unknown = new Map<PeerName, { readonly neighbour: PeerName; readonly since: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The origin's records were dropped because it was unreachable for long. Peers that forget it later still send them. */
  forget(dropped: OriginVersion): void {
    this.#forgotten.set(dropped.origin, dropped);
    limitSize(this.#forgotten, MAX_PEERS);
  }

  /** Whether a state was forgotten. A later one shows that the origin is back: in the topology it is what makes it reachable. */
  wasForgotten({ origin, incarnation, version }: OriginVersion): boolean {
    const dropped = this.#forgotten.get(origin);
    if (dropped === undefined) return false;
    return incarnation < dropped.incarnation || (incarnation === dropped.incarnation && version <= dropped.version);
  }

  /** There was no room for the origin's records from a neighbour. From another one, with a smaller part of the memory, there may be. */
  hadNoRoom(origin: PeerName, neighbour: PeerName): void {
    const neighbours = this.#withoutRoom.get(origin) ?? new Map<PeerName, number>();
    neighbours.delete(neighbour);
    neighbours.set(neighbour, this.#clock.now());
    limitSize(neighbours, MAX_REFUSED);
    this.#withoutRoom.delete(origin);
    this.#withoutRoom.set(origin, neighbours);
    limitSize(this.#withoutRoom, MAX_PEERS);
  }

  hasNoRoom(origin: PeerName, neighbour: PeerName): boolean {
    const since = this.#withoutRoom.get(origin)?.get(neighbour);
    return since !== undefined && this.#clock.now() - since < NO_ROOM_MS;
  }

  /** A neighbour has sent records of an origin that no known peer is. */
  isUnknown(origin: PeerName, neighbour: PeerName): void {
    this.#unknown.delete(origin);
    this.#unknown.set(origin, { neighbour, since: this.#clock.now() });
    limitSize(this.#unknown, MAX_UNKNOWN);
  }

  /** Removes and returns the unknown origins that are known now, with the neighbours that can be asked for them. */
  takeKnown(isKnown: (origin: PeerName) => boolean): [origin: PeerName, neighbour: PeerName][] {
    const known: [PeerName, PeerName][] = [];
    for (const [origin, { neighbour, since }] of this.#unknown) {
      if (isKnown(origin)) known.push([origin, neighbour]);
      else if (this.#clock.now() - since < UNKNOWN_MS) continue;
      this.#unknown.delete(origin);
    }
    return known;
  }

  /** The origin's records are here. */
  arrived(origin: PeerName): void {
    this.#forgotten.delete(origin);
    this.#withoutRoom.delete(origin);
    this.#unknown.delete(origin);
  }
}
