import { MAX_PEERS } from "#mesh/peer.js";
import { limitSize } from "#src/limit-size.js";

/** Runs of one identity that are remembered. A copy of a machine needs two. */
const RUNS = 8;

interface Runs {
  current: string;
  readonly earlier: Set<string>;
  /** Runs that have come after another one that is still alive: the copies. */
  readonly copies: Set<string>;
}

/** Runs of a process with one identity, as a peer sees them: `run` is the `uid` of {@link PeerIdentity}. */
export type RunVerdict = "current" | "restarted" | "returned" | "copy";

/**
 * Distinguishes a restart from a copy of a database. A restarted process has another run, and its earlier one never returns. So
 * an earlier run that returns proves two live machines with one identity:
 *
 *   run A, run B             A has restarted as B
 *   run A, run B, run A      both are alive. A was first: B is taken for the copy, and is refused from now on
 */
export class Clones {
  readonly #identities = new Map<string, Runs>();

  /** Records a session or a later record of a run. */
  see(identity: string, run: string): RunVerdict {
    const runs = this.#identities.get(identity);
    if (runs === undefined) {
      this.#identities.set(identity, { current: run, earlier: new Set(), copies: new Set() });
      limitSize(this.#identities, MAX_PEERS);
      return "current";
    }
    if (run === runs.current) return "current";
    if (runs.copies.has(run)) return "copy";
    const returned = runs.earlier.delete(run);
    (returned ? runs.copies : runs.earlier).add(runs.current);
    for (const each of [runs.earlier, runs.copies]) limitSize(each, RUNS);
    runs.current = run;
    return returned ? "returned" : "restarted";
  }

  /** Whether a run was found to be a copy. */
  isCopy(identity: string, run: string): boolean {
    return this.#identities.get(identity)?.copies.has(run) ?? false;
  }

  /** Ends what is known of an identity: the operator has separated the machines. */
  forget(identity: string): void {
    this.#identities.delete(identity);
  }
}
