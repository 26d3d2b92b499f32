/** An ended container keeps its addresses and names for this time: it may be restarting. */
export const ENDED_CONTAINER_GRACE_MS = 30_000;

/** A service that keeps data of containers by their ids: addresses or names. */
export interface ContainerLifecycle {
  /** Returns the ids that the service keeps data of. */
  idents(): Iterable<string>;
  /** Called when a container has ended. */
  containerEnded(ident: string): void;
  /** Called when a container runs, or runs again. */
  containerRuns(ident: string): void;
  /** Called when interfaces of this host have disappeared, and every few seconds. */
  look?(): Promise<void>;
}
