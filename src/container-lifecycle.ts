/** A service that holds data for containers, under their ids: addresses, or names. */
export interface ContainerLifecycle {
  /** Ids that it holds data for. */
  idents(): Iterable<string>;
  /** Its container has ended. */
  died(ident: string): void;
  /** Its container runs (again). */
  alive(ident: string): void;
  /** Interfaces of this host have gone, or some seconds have passed. */
  look?(): Promise<void>;
}
