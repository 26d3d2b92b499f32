import { MAX_PEERS } from "#mesh/peer.js";
import { limitSize } from "#src/limit-size.js";

/** Runs of one identity that are remembered. A copy of a machine needs two. */
const RUNS = 8;

/** Changes between runs in records that prove two live machines: run p, q, p, q. */
const ALTERNATIONS = 4;

interface Runs {
  /** The run of the last session; undefined: there was none. */
  current: string | undefined;
  readonly earlier: Set<string>;
  /** Runs that have come after another one that is still alive: the copies. */
  readonly copies: Set<string>;
  /** The last runs in records, each different from the one before. */
  readonly inRecords: string[];
}

/** Runs of a process with one identity, as a peer sees them: `run` is the `uid` of {@link PeerIdentity}. */
export type RunVerdict = "current" | "restarted" | "returned" | "copy";

/**
 * Distinguishes a restart from a copy of a database. A restarted process has another run, and its earlier one never returns. So
 * an earlier run that returns in a session proves two live machines with one identity:
 *
 *   run A, run B             A has restarted as B
 *   run A, run B, run A      both are alive. A was first: B is taken for the copy, and is refused from now on
 *
 * A record may be older than it seems: after a restart with the clock set back, the record of the earlier run comes last, until the
 * new run supersedes it. Only two machines supersede the records of each other again and again.
 */
export class Clones {
  readonly #identities = new Map<string, Runs>();

  /** Records a session with a run. */
  see(identity: string, run: string): RunVerdict {
    const runs = this.#runsOf(identity);
    if (runs.current === undefined || run === runs.current) {
      runs.current = run;
      return "current";
    }
    if (runs.copies.has(run)) return "copy";
    const returned = runs.earlier.delete(run);
    (returned ? runs.copies : runs.earlier).add(runs.current);
    for (const each of [runs.earlier, runs.copies]) limitSize(each, RUNS);
    runs.current = run;
    return returned ? "returned" : "restarted";
  }

  /** Records a later record than the one before. @returns whether two machines supersede the records of each other */
  seeRecord(identity: string, run: string): boolean {
    const { inRecords: seen } = this.#runsOf(identity);
    if (seen.at(-1) !== run) seen.push(run);
    if (seen.length > ALTERNATIONS) seen.shift();
    return seen.length === ALTERNATIONS && seen[0] === seen[2] && seen[1] === seen[3];
  }

  /** Whether a run was found to be a copy. */
  isCopy(identity: string, run: string): boolean {
    return this.#identities.get(identity)?.copies.has(run) ?? false;
  }

  /** Ends what is known of an identity: the operator has separated the machines. */
  forget(identity: string): void {
    this.#identities.delete(identity);
  }

  #runsOf(identity: string): Runs {
    let runs = this.#identities.get(identity);
    if (runs === undefined) {
      runs = { current: undefined, earlier: new Set(), copies: new Set(), inRecords: [] };
      this.#identities.set(identity, runs);
      limitSize(this.#identities, MAX_PEERS);
    }
    return runs;
  }
}
