import type { PeerName } from "#mesh/peer.js";

/** State of Docker's part of a router. */
export interface DockerStatus {
  readonly engine: {
    /** API version agreed on; undefined before an engine has answered. */
    readonly api: string | undefined;
    /** Number of running containers; undefined before an engine has answered. */
    readonly containers: number | undefined;
    /** Why no engine answers; "" while one does. */
    readonly problem: string;
  };
  /** Where the proxy listens; undefined when it is off. */
  readonly proxy: readonly string[] | undefined;
  /** Those of {@link proxy} that serve everyone who can connect. */
  readonly open: readonly string[];
  readonly plugin: boolean;
  /** Role of the engine in a swarm; undefined when it is in none. */
  readonly swarm: "manager" | "worker" | undefined;
  /** Addresses that several hosts have claimed. */
  readonly contested: readonly { readonly address: string; readonly peers: readonly PeerName[] }[];
}
