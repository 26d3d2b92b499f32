import type { Connection } from "#mesh/connection/connection.js";
import { FairSlots } from "#mesh/connection/fair-slots.js";
import { PasswordGuesses } from "#mesh/connection/password-guesses.js";
import { CookieJar } from "#mesh/handshake/cookie.js";
import { type ResponderOptions, WrongPassword } from "#mesh/handshake/responder.js";
import { Refusal, Refusals } from "#mesh/refusals.js";
import type { Wire } from "#mesh/transport.js";
import type { Clock } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";
import { limitSize } from "#src/limit-size.js";
import type { Log } from "#src/log.js";
import { fairnessKey } from "#src/net/family.js";
import { hostOf } from "#src/net/host-port.js";
import type { Random } from "#src/random.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Rate limit for inbound handshakes from one address; the rate is that of Weave Net. */
const ACCEPT = { perSecond: 20, burst: 20 };
/** Number of inbound handshakes in progress from which a cookie is required. */
const COOKIES_ABOVE = 32;
/** Maximum number of inbound handshakes in progress, in total and from one address: a whole site may restart behind one address. */
const HANDSHAKES = { total: 256, each: 64 };

/** Number of hosts that are remembered because a peer was admitted from there. */
const REMEMBERED = 4_096;

interface PendingHandshakesDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly isPeer: (host: string) => boolean;
}

/** The handshakes in progress, with the limits for unauthenticated clients, and a record of refusals. */
export class PendingHandshakes {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #cookies: CookieJar;
  readonly #rate: RateLimiter;
  readonly #inbound: FairSlots<Connection>;
  readonly #outbound = new Set<Connection>();
  readonly refusals = new Refusals();
  readonly guesses: PasswordGuesses;
  /** Hosts from which a peer was admitted. */
  readonly #admitted = new Set<string>();
  readonly #isPeer: (host: string) => boolean;

  /** @param deps.isPeer whether the topology or the operator names a host as a peer's */
  constructor({ clock, random, log, isPeer }: PendingHandshakesDeps) {
    this.#clock = clock;
    this.#log = log;
    this.#isPeer = isPeer;
    this.guesses = new PasswordGuesses(clock);
    this.#cookies = new CookieJar(clock, random);
    this.#rate = new RateLimiter(clock, ACCEPT);
    this.#inbound = new FairSlots(random, HANDSHAKES);
  }

  /** Applies the rate limit to an inbound wire. @returns whether a handshake may begin; if not, the wire is closed */
  admit(wire: Wire): boolean {
    const source = sourceOf(wire);
    let refusal: Refusal;
    if (!this.#rate.admit(source)) refusal = tooMany();
    else if (this.guesses.admit(source, () => this.#isKnown(wire))) return true;
    else refusal = new Refusal("busy", "slowed down after wrong passwords");
    wire.terminate();
    this.#refuse(wire.remoteAddress, refusal);
    return false;
  }

  /** Returns the channel options that require a cookie under load, before anything is computed for the handshake. */
  challenge(wire: Wire): Pick<ResponderOptions, "cookies"> {
    if (this.#inbound.size < COOKIES_ABOVE) return {};
    return { cookies: { jar: this.#cookies, address: hostOf(wire.remoteAddress) } };
  }

  /** Records that a handshake begins. It may displace another one, which is closed. */
  begin(connection: Connection): void {
    if (connection.outbound) this.#outbound.add(connection);
    else this.#inbound.add(sourceOf(connection.wire), connection)?.close(tooMany());
  }

  /** Records that a handshake has ended, by success or failure. */
  end(connection: Connection): void {
    if (connection.outbound) this.#outbound.delete(connection);
    else this.#inbound.delete(sourceOf(connection.wire), connection);
  }

  /** Returns the connections whose handshake is in progress. */
  *connections(): Generator<Connection> {
    yield* this.#outbound;
    yield* this.#inbound;
  }

  /** Drops the refusals of an admitted peer's host. */
  admitted({ wire }: Connection): void {
    const host = hostOf(wire.remoteAddress);
    this.refusals.clear(host);
    this.guesses.succeeded(sourceOf(wire));
    this.#admitted.delete(host);
    this.#admitted.add(host);
    limitSize(this.#admitted, REMEMBERED);
  }

  /** Records the refusal if this peer has refused an inbound connection that has ended. */
  ended({ outbound, wire }: Connection, error: Error): void {
    if (outbound) return;
    if (error instanceof WrongPassword) {
      const { source, count } = this.guesses.failed(sourceOf(wire), this.#isKnown(wire));
      this.#log.warn("a wrong password", { from: source, count });
    }
    if (error instanceof Refusal) this.#refuse(wire.remoteAddress, error);
    else if (error instanceof WeaveError && error.code === "WEAVE_HANDSHAKE")
      this.#refuse(wire.remoteAddress, new Refusal("handshake", error.message));
  }

  /** Whether a peer was or is at the other end's address: it is hardly slowed because of others' wrong passwords. */
  #isKnown({ remoteAddress }: Wire): boolean {
    const host = hostOf(remoteAddress);
    return this.#admitted.has(host) || this.#isPeer(host);
  }

  #refuse(address: string, refusal: Refusal): void {
    // The dialling end of a connection to itself reports it.
    if (refusal.reason === "self") return;
    this.refusals.note(address, refusal, this.#clock.now());
    this.#log.warn("a connection was refused", { from: address, why: refusal.message });
  }
}

/** The source that limits count by. */
const sourceOf = (wire: Wire): string => fairnessKey(hostOf(wire.remoteAddress));

const tooMany = (): Refusal => new Refusal("busy", "too many connection attempts");
