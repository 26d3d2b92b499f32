/** A service that keeps data of containers by their ids: addresses or names. */
export interface ContainerLifecycle {
  /** Returns the ids that the service keeps data of. */
  idents(): Iterable<string>;
  /** Called when a container has ended. */
  died(ident: string): void;
  /** Called when a container runs, or runs again. */
  alive(ident: string): void;
  /** Called when interfaces of this host have disappeared, and every few seconds. */
  look?(): Promise<void>;
}
