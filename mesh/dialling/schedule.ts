import { discover } from "#mesh/dialling/discovery.js";
import type { PeerName, PeerRecord } from "#mesh/peer.js";
import { Backoff, type BackoffPolicy } from "#src/backoff.js";
import { hostOf } from "#src/net/host-port.js";
import type { Random } from "#src/random.js";

/** Delay of retries: 2 s, then 1.5 times the previous delay, up to 6 min; each is changed at random by up to a half. */
export const DIAL_RETRY: BackoffPolicy = { firstMs: 2_000, factor: 1.5, lastMs: 6 * 60_000, spread: 0.5 };
/** The longest delay before a retry: 9 min. */
export const LONGEST_DIAL_RETRY_MS = DIAL_RETRY.lastMs * (1 + DIAL_RETRY.spread);
/**
 * A connection that lasted this long was sound: a peer that refuses a connection, or prefers another one, ends it within the round trips
 * of a handshake.
 */
const SOUND_AFTER_MS = 3_000;
/**
 * Delay of retries after the end of a sound connection: the peer has probably restarted, and frames wait for it. Its kernel refuses a dial
 * at no cost to either side until the new router listens.
 */
export const REDIAL: BackoffPolicy = { firstMs: 50, factor: 1.5, lastMs: 200, spread: 0.5 };
/** Time for such retries: longer than the restart of a router on a slow machine. Then {@link DIAL_RETRY} applies. */
export const REDIAL_FOR_MS = 10_000;

/**
 * Delay of the first dial to a discovered peer that dials first itself, in milliseconds, and its random part. When many peers join at
 * the same time, most of their handshakes take less.
 */
export const YIELD_MS = 3_000;
const YIELD_SPREAD_MS = 3_000;

/** Maximum number of discovered addresses that are dialled at the same time: other peers may report false addresses. */
export const DISCOVERY_DIALS = 16;

/** A peer that the operator named. */
export interface DialTarget {
  /** The target as typed, for `forget` and `status targets`. */
  readonly text: string;
  /** `host:port`, with the host as typed. A name is resolved at each attempt, because its addresses may change. */
  readonly address: string;
  /** Whether a port was typed. If not, an inbound connection from that host satisfies the target. */
  readonly port: boolean;
}

/** The properties of a connection that dialling depends on. */
export interface ConnectionView {
  readonly remoteAddress: string;
  readonly outbound: boolean;
  /** The dialled address, of a target or discovered; undefined for an inbound connection. */
  readonly dialled: string | undefined;
  readonly peer: PeerName;
}

/** The state of the mesh from which the due attempts are computed. */
export interface DialContext {
  readonly connections: readonly ConnectionView[];
  readonly records: readonly PeerRecord[];
  readonly self: PeerName;
  /** Addresses of this host. */
  readonly own: () => ReadonlySet<string>;
}

interface Attempt {
  /** Whether the address is a target's. */
  readonly direct: boolean;
  /** Served: another connection makes a dial unnecessary, one to the address's peer or from the target's host. */
  state: "waiting" | "attempting" | "connected" | "served";
  /** Monotonic milliseconds of the next attempt; Infinity: never. */
  tryAfter: number;
  readonly backoff: Backoff;
  /** The delays of {@link REDIAL}, and the monotonic time until when they apply. */
  readonly redial: Backoff;
  redialUntil: number;
  lastTry: number;
  lastError: string | undefined;
  /** The peer that was reached at the address. The address is not dialled while a connection to that peer is open. */
  peer: PeerName | undefined;
  /** IP addresses of the target's name at the last attempt. */
  hosts: readonly string[];
}

/** The state of an attempt, for status. */
export interface AttemptStatus {
  readonly address: string;
  readonly state: "connecting" | "retrying" | "waiting" | "failed";
  readonly error: string | undefined;
  /** Monotonic time of the next attempt in milliseconds; Infinity: never. */
  readonly retryAt: number;
}

/**
 * Decides which addresses are dialled, and when: the operator's targets for ever; and, with discovery, the addresses that other
 * peers report of peers without a connection to this one. Pure: the caller passes the time, and dials.
 */
export class DialSchedule {
  readonly #random: Random;
  readonly #discovery: boolean;
  readonly #limit: number;
  readonly #port: number;
  readonly #attempts = new Map<string, Attempt>();
  #targets: readonly DialTarget[] = [];

  /**
   * @param options.limit maximum number of connections; 0 for no limit
   * @param options.port the port of this peer, which is assumed for peers that are reported by inbound links
   */
  constructor(random: Random, options: { discovery: boolean; limit: number; port: number }) {
    this.#random = random;
    this.#discovery = options.discovery;
    this.#limit = options.limit;
    this.#port = options.port;
  }

  get targets(): readonly DialTarget[] {
    return this.#targets;
  }

  /** Whether an address is a target's. @param address `host:port` as typed */
  isTarget(address: string): boolean {
    return this.#targets.some((target) => target.address === address);
  }

  /** Adds targets, or replaces all targets. Waiting attempts for them become due immediately. */
  connect(targets: readonly DialTarget[], replace: boolean, now: number): void {
    const kept = replace ? [] : this.#targets.filter((old) => !targets.some(({ text }) => text === old.text));
    this.#targets = [...kept, ...targets];
    for (const { address } of targets) {
      const attempt = this.#attempts.get(address);
      if (attempt === undefined || !attempt.direct) this.#attempts.set(address, this.#fresh(true, now, attempt?.state));
      else if (attempt.state === "waiting" || attempt.state === "served") {
        attempt.tryAfter = now;
        attempt.backoff.reset();
      }
    }
  }

  /** Drops targets by {@link DialTarget.text}. Their connections stay. */
  forget(texts: readonly string[]): void {
    this.#targets = this.#targets.filter(({ text }) => !texts.includes(text));
  }

  /** Returns the addresses to dial now, and marks them as attempted. */
  due(now: number, { connections, records, self, own }: DialContext): { address: string; direct: boolean }[] {
    const connected = new Set(connections.flatMap((c) => (c.outbound ? [c.remoteAddress, c.dialled] : [])));
    const peers = new Set(connections.map((c) => c.peer));
    const inboundHosts = new Set(connections.filter((c) => !c.outbound).map((c) => hostOf(c.remoteAddress)));
    /** The addresses, and the delay of a first dial. */
    const wanted = new Map<string, number>();
    for (const { address, port } of this.#targets)
      if (port || !this.#hostsOf(address).some((host) => inboundHosts.has(host))) wanted.set(address, 0);
    const direct = new Set(this.#targets.map(({ address }) => address));
    if (this.#discovery)
      for (const { address, first } of discover(records, { self, connected: peers, port: this.#port, own }))
        if (!wanted.has(address)) wanted.set(address, first ? 0 : YIELD_MS);

    for (const [address, delay] of wanted) {
      if (this.#attempts.has(address)) continue;
      const spread = delay === 0 ? 0 : this.#random.below(YIELD_SPREAD_MS);
      this.#attempts.set(address, this.#fresh(direct.has(address), now + delay + spread));
    }
    for (const [address, attempt] of this.#attempts) {
      if (attempt.state === "attempting") continue;
      const reached = attempt.peer !== undefined && peers.has(attempt.peer);
      if (connected.has(address)) attempt.state = "connected";
      else if (!wanted.has(address) && !direct.has(address)) this.#attempts.delete(address);
      else attempt.state = reached || !wanted.has(address) ? "served" : "waiting";
    }

    let room = this.#limit === 0 ? Number.POSITIVE_INFINITY : this.#limit - connections.length;
    let discoveries = DISCOVERY_DIALS;
    for (const [address, attempt] of this.#attempts) {
      if (attempt.state !== "attempting") continue;
      room--;
      if (!direct.has(address)) discoveries--;
    }
    const due: { address: string; direct: boolean }[] = [];
    // In order of preference: targets, then the addresses that most peers report.
    for (const address of wanted.keys()) {
      const attempt = this.#attempts.get(address)!;
      const isDirect = direct.has(address);
      if (room <= 0) break;
      if (attempt.state !== "waiting" || attempt.tryAfter > now) continue;
      if (!isDirect && discoveries-- <= 0) break;
      attempt.state = "attempting";
      attempt.lastTry = now;
      room--;
      due.push({ address, direct: isDirect });
    }
    return due;
  }

  /** Records the IP addresses of a target's name. */
  resolved(address: string, hosts: readonly string[]): void {
    const attempt = this.#attempts.get(address);
    if (attempt !== undefined) attempt.hosts = hosts;
  }

  /**
   * Returns the monotonic time of the next attempt in milliseconds; Infinity if there is none.
   *
   * @param blockedMs time after which attempts are checked again that were due at `now`, but not possible
   */
  nextAt(now: number, blockedMs: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { state, tryAfter } of this.#attempts.values())
      if (state === "waiting") next = Math.min(next, tryAfter > now ? tryAfter : now + blockedMs);
    return next;
  }

  /** Records that the handshake at an address has succeeded. */
  succeeded(address: string, peer: PeerName): void {
    const attempt = this.#attempts.get(address);
    if (attempt === undefined) return;
    attempt.state = "connected";
    attempt.lastError = undefined;
    attempt.peer = peer;
  }

  /**
   * Records that an attempt has failed, or that its connection has ended.
   *
   * @param options.never whether the address is never dialled again, because it is this peer's own
   * @param options.peer the peer that was reached at the address, if known
   */
  failed(address: string, error: string, now: number, options: { never?: boolean; peer?: PeerName } = {}): void {
    const attempt = this.#attempts.get(address);
    if (attempt === undefined) return;
    const wasSound = attempt.state === "connected" && now - attempt.lastTry > SOUND_AFTER_MS;
    attempt.state = "waiting";
    attempt.lastError = error;
    if (options.peer !== undefined) attempt.peer = options.peer;
    if (options.never) attempt.tryAfter = Number.POSITIVE_INFINITY;
    else if (wasSound) {
      attempt.backoff.reset();
      attempt.redial.reset();
      attempt.redialUntil = now + REDIAL_FOR_MS;
      attempt.tryAfter = now;
    } else attempt.tryAfter = now + (now < attempt.redialUntil ? attempt.redial : attempt.backoff).next();
  }

  /** Returns the attempts that lack a connection, for `status connections`. */
  status(): AttemptStatus[] {
    const direct = new Set(this.#targets.map(({ address }) => address));
    const result: AttemptStatus[] = [];
    for (const [address, { state, lastError, tryAfter }] of this.#attempts) {
      if (
        state === "connected" ||
        state === "served" ||
        (lastError === undefined && state === "waiting" && !direct.has(address))
      )
        continue;
      const shown =
        state === "attempting"
          ? lastError === undefined
            ? "connecting"
            : "retrying"
          : lastError === undefined
            ? "waiting"
            : "failed";
      result.push({ address, state: shown, error: lastError, retryAt: tryAfter });
    }
    return result;
  }

  /** Returns the IP addresses of a target: its host, and for a name the addresses of the last resolution. */
  #hostsOf(address: string): readonly string[] {
    return [hostOf(address), ...(this.#attempts.get(address)?.hosts ?? [])];
  }

  #fresh(direct: boolean, now: number, state: Attempt["state"] = "waiting"): Attempt {
    return {
      direct,
      state,
      tryAfter: now,
      backoff: new Backoff(DIAL_RETRY, this.#random),
      redial: new Backoff(REDIAL, this.#random),
      redialUntil: Number.NEGATIVE_INFINITY,
      lastTry: now,
      lastError: undefined,
      peer: undefined,
      hosts: [],
    };
  }
}
