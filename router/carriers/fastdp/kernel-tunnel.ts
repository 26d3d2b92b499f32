import type { PeerName } from "#mesh/peer.js";
import type { TunnelWish } from "#router/carriers/fastdp/carrier-speeds.js";
import type { Heartbeats } from "#router/carriers/fastdp/heartbeats.js";

/** A peer to which a tunnel is to lead. */
export interface PeerTunnelOptions {
  readonly peer: PeerName;
  /** The peer's address on the network between the hosts. */
  readonly host: string;
  /** UDP port of the peer's tunnel. */
  readonly port: number;
  /** Public key of the peer's WireGuard, 32 bytes; empty without encryption. */
  readonly publicKey: Uint8Array;
  /** A key that only the two ends of the connection know, 32 bytes. */
  readonly presharedKey: Uint8Array;
  /** Whether this end dialled the connection. */
  readonly isDialler: boolean;
  /** MTU of our own link towards the peer, in bytes. */
  readonly linkMtu: number;
}

/** A peer that a tunnel leads to. */
export interface PeerTunnel {
  /** The peer's address inside the tunnel, with its UDP port if that is another than ours. */
  readonly address: string;
  /** Sends frames to the peer's MACs by the tunnel, or by the TAP. */
  carry(carries: boolean): void;
  /** Sets the MTU of our own link towards the peer, in bytes. */
  setMtu(linkMtu: number): void;
  /** The connection has ended. Frames that the tunnel carries go on, as the peer's router may be starting again. */
  release(): void;
}

/** The key of this host's WireGuard. */
export interface TunnelKey {
  /** 32 bytes. */
  readonly public: Uint8Array;
  /** The secret that this key and another end's have in common (X25519), 32 bytes. @throws WEAVE_HANDSHAKE when the other is no key */
  agree(theirs: Uint8Array): Uint8Array;
}

/** A tunnel of the kernel to all neighbours: VXLAN, in clear or inside WireGuard. */
export interface KernelTunnel {
  /** Why there is no tunnel now; undefined: there is one. */
  readonly problem: string | undefined;
  /** What it is, for status: "VXLAN". */
  readonly description: string;
  /** UDP port at which other hosts reach the tunnel. */
  readonly port: number;
  /** Undefined without encryption. */
  readonly key: TunnelKey | undefined;
  /** A random number that heartbeats to this host must contain; 32 bits. */
  readonly cookie: number;
  /** Bytes of all headers around an IP packet of a container. */
  readonly overhead: number;
  /** Whether this host has no such tunnel by its options or its kernel: there is no use in waiting for it. */
  readonly isOff: boolean;
  /** What this host wants of its place among the carriers; undefined: the first. */
  readonly wish: TunnelWish | undefined;
  readonly heartbeats: Heartbeats;
  /** Calls `changed` when {@link problem} changes, or when the peers must be connected again. @returns ends that */
  onChange(changed: () => void): () => void;
  /**
   * Notes that a connection to a peer uses this tunnel or none.
   *
   * @param host the peer's address on the network between the hosts
   */
  opened(peer: PeerName, host: string): void;
  /** Makes the tunnel lead to a peer; repeated, it changes what differs. @throws WeaveError when the kernel refuses it */
  connect(options: PeerTunnelOptions): Promise<PeerTunnel>;
}
