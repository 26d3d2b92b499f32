import type { PeerName } from "#mesh/peer.js";
import { recordBytes, type StateMessage } from "#mesh/replica/replica-message.js";

/** Maximum size of all incomplete states of a set in bytes. Beyond it the largest is dropped: small ones are safe from a flood. */
const MAX_ASSEMBLED_BYTES = 2 << 20;
/** Maximum number of neighbours with an incomplete state. */
const MAX_ASSEMBLIES = 64;

interface Assembly {
  readonly first: StateMessage;
  readonly records: string[];
  next: number;
  bytes: number;
}

/**
 * States that arrive in several messages. A neighbour sends one after the other, so that there is one incomplete state for each.
 * Its head was verified; its records are not used before all of them are there.
 */
export class Assemblies {
  readonly #assemblies = new Map<PeerName, Assembly>();
  #bytes = 0;

  /** Whether a part continues the incomplete state of a neighbour. */
  continues(neighbour: PeerName, { origin, part, since, signature }: StateMessage): boolean {
    const known = this.#assemblies.get(neighbour);
    return (
      known !== undefined &&
      part?.number === known.next &&
      since === known.first.since &&
      origin === known.first.origin &&
      Buffer.compare(signature, known.first.signature) === 0
    );
  }

  /** Begins a state with its first part, or adds one that {@link continues}. @returns all records when they are complete */
  add(neighbour: PeerName, message: StateMessage): StateMessage | undefined {
    if (message.part?.number === 0) {
      this.#drop(neighbour);
      this.#assemblies.set(neighbour, { first: message, records: [], next: 0, bytes: 0 });
      while (this.#assemblies.size > MAX_ASSEMBLIES) this.#dropOldest();
    }
    const assembly = this.#assemblies.get(neighbour)!;
    const bytes = message.records.reduce((sum, raw) => sum + recordBytes(raw), 0);
    assembly.records.push(...message.records);
    assembly.next++;
    assembly.bytes += bytes;
    this.#bytes += bytes;
    while (this.#bytes > MAX_ASSEMBLED_BYTES) this.#drop(this.#largest());
    if (message.part?.isLast !== true || !this.#assemblies.has(neighbour)) return undefined;
    this.#drop(neighbour);
    return { ...message, records: assembly.records };
  }

  #largest(): PeerName {
    let [[largest, { bytes }]] = this.#assemblies;
    for (const [neighbour, assembly] of this.#assemblies)
      if (assembly.bytes > bytes) [largest, bytes] = [neighbour, assembly.bytes];
    return largest;
  }

  #dropOldest(): void {
    this.#drop(this.#assemblies.keys().next().value!);
  }

  #drop(neighbour: PeerName): void {
    this.#bytes -= this.#assemblies.get(neighbour)?.bytes ?? 0;
    this.#assemblies.delete(neighbour);
  }
}
