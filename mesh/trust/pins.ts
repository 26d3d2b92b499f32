import { MAX_PEERS, type PeerIdentity, type PeerName } from "#mesh/peer.js";

/** A name, and the identity that it belongs to at this peer. */
export interface Pin {
  readonly name: PeerName;
  readonly nickname: string;
  /** Ed25519 public key, 64 hexadecimal digits. */
  readonly identity: string;
  /** Milliseconds since the Unix epoch. */
  readonly firstSeen: number;
  readonly lastSeen: number;
  /** Whether this peer had a session with it; otherwise it knows a record that the identity has signed. */
  readonly direct: boolean;
}

/** Maximum number of pins of peers that this one had a session with, and of the others. */
export const MAX_PINS = MAX_PEERS;
/** Names of one identity that stay pinned to it: a peer that is renamed keeps what belongs to its earlier name. */
const NAMES_EACH = 4;

/**
 * The pins of a peer, at most one for each name. Peers of sessions and peers of records have separate places, so that a hostile
 * peer that invents records does not displace a pin of a peer that this one has met. Among equals the pin that was seen for the
 * shortest time is displaced first, and a pin of a reachable peer never: invented names displace one another.
 */
export class Pins {
  readonly #pins = new Map<PeerName, Pin>();
  readonly #names = new Map<string, Set<PeerName>>();
  readonly #counts = { direct: 0, indirect: 0 };
  /** The pin of each kind that was made last. */
  readonly #newest: { direct?: PeerName; indirect?: PeerName } = {};
  #present: ReadonlySet<PeerName> = new Set();

  /** @param stored the pins of earlier runs; too many are ignored */
  constructor(stored: readonly Pin[]) {
    for (const pin of stored) if (this.#counts[kind(pin)] < MAX_PINS) this.#set(pin);
  }

  get size(): number {
    return this.#pins.size;
  }

  get(name: PeerName): Pin | undefined {
    return this.#pins.get(name);
  }

  /** Returns the names of an identity. */
  namesOf(identity: string): PeerName[] {
    return [...(this.#names.get(identity) ?? [])];
  }

  isPresent(name: PeerName): boolean {
    return this.#present.has(name);
  }

  all(): Pin[] {
    return [...this.#pins.values()];
  }

  /**
   * Records a sight of a peer whose name has no pin, or one with this identity.
   *
   * @returns the names whose pins have changed, displaced ones among them; empty if there is no place
   */
  see({ name, nickname, identity }: PeerIdentity, direct: boolean, wall: number): PeerName[] {
    const known = this.#pins.get(name);
    const pin: Pin = {
      name,
      nickname,
      identity,
      firstSeen: known?.firstSeen ?? wall,
      lastSeen: wall,
      direct: direct || known?.direct === true,
    };
    if (known !== undefined && known.nickname === nickname && known.direct === pin.direct) return [];
    const changed: PeerName[] = [];
    if (known?.direct !== pin.direct && this.#counts[kind(pin)] >= MAX_PINS) {
      const loser = this.#displaced(pin.direct);
      if (loser === undefined) return [];
      this.remove(loser);
      changed.push(loser);
    }
    const others = this.namesOf(identity).filter((each) => each !== name);
    if (known === undefined && others.length >= NAMES_EACH) {
      const loser = others.find((each) => !this.#present.has(each)) ?? others[0];
      this.remove(loser);
      changed.push(loser);
    }
    this.#set(pin);
    if (known === undefined) this.#newest[kind(pin)] = name;
    return [...changed, name];
  }

  /** Removes the pin of a name. @returns whether there was one */
  remove(name: PeerName): boolean {
    const pin = this.#pins.get(name);
    if (pin === undefined) return false;
    this.#pins.delete(name);
    this.#counts[kind(pin)]--;
    const names = this.#names.get(pin.identity)!;
    names.delete(name);
    if (names.size === 0) this.#names.delete(pin.identity);
    return true;
  }

  /**
   * Records which peers are reachable.
   *
   * @param staleMs how old the last sight of a reachable peer may become
   * @returns the names whose pins have changed
   */
  setPresent(names: ReadonlySet<PeerName>, wall: number, staleMs: number): PeerName[] {
    const changed: PeerName[] = [];
    for (const name of new Set([...this.#present, ...names])) {
      const pin = this.#pins.get(name);
      if (pin === undefined) continue;
      const left = !names.has(name);
      if (!left && wall - pin.lastSeen < staleMs) continue;
      this.#pins.set(name, { ...pin, lastSeen: Math.max(wall, pin.lastSeen) });
      changed.push(name);
    }
    this.#present = new Set(names);
    return changed;
  }

  /** Chooses the pin that makes room: of the absent peers the one that was seen for the shortest time. @returns undefined: all are present */
  #displaced(direct: boolean): PeerName | undefined {
    // One that was seen once is never wrong: a flood of invented names displaces itself, without a search.
    const newest = this.#pins.get(this.#newest[direct ? "direct" : "indirect"] ?? "");
    if (newest?.direct === direct && knownFor(newest) === 0 && !this.#present.has(newest.name)) return newest.name;
    let least: Pin | undefined;
    for (const pin of this.#pins.values()) {
      if (pin.direct !== direct || this.#present.has(pin.name)) continue;
      if (least === undefined || knownFor(pin) < knownFor(least)) least = pin;
    }
    return least?.name;
  }

  #set(pin: Pin): void {
    this.remove(pin.name);
    this.#pins.set(pin.name, pin);
    this.#counts[kind(pin)]++;
    const names = this.#names.get(pin.identity) ?? new Set();
    this.#names.set(pin.identity, names.add(pin.name));
  }
}

const kind = ({ direct }: Pin): "direct" | "indirect" => (direct ? "direct" : "indirect");
const knownFor = ({ firstSeen, lastSeen }: Pin): number => lastSeen - firstSeen;
