/**
 * Answers that do not depend on the router. No imports: the launcher of a managed plugin answers them
 * while the router still starts.
 */

/** Answer to `Plugin.Activate`. @param kinds of drivers behind the socket */
export const activation = (kinds: readonly string[]): object => ({ Implements: kinds });

/** The kind of a managed plugin's driver. A swarm's nodes cannot share our IPAM driver: the manager's engine allocates for all of them. */
export const MANAGED_KINDS = ["NetworkDriver"] as const;

/**
 * Answer to `NetworkDriver.GetCapabilities`.
 *
 * @param managed true: networks are of the swarm. Swarm mode does not accept other plugins as global, and without a swarm there is no
 * other scope than "local".
 */
export const capabilities = (managed: boolean): object => ({
  Scope: managed ? "global" : "local",
  ConnectivityScope: "global",
  GwAllocChecker: true,
});

/** Answer to `NetworkDriver.AllocateNetwork`: each node receives the options with which the network was created. */
export const allocated = ({ Options }: { readonly Options?: unknown }): object => ({ Options: Options ?? {} });
