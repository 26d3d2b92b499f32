/**
 * The mesh as a library: peers discover one another, agree on a topology, and gossip over authenticated, encrypted connections.
 * The caller provides I/O, clock and randomness.
 *
 *     const mesh = createMesh({ name, staticKey, signer, clock, random, dial });   // starts
 *     const channel = mesh.channel("weather", gossiper);                   // unicast, broadcast, gossip
 *     mesh.connect([{ text: "10.0.0.2", address: "10.0.0.2:6783", port: true }], false);
 *     mesh.accept(wire);                                                    // for each inbound connection
 *     mesh.stop();
 *
 * `examples/mesh.ts` is a complete program. The states of connections and peers are in ARCHITECTURE.md.
 */
export type { Connection, ConnectionState } from "#mesh/connection/connection.js";
export { createMesh, type MeshConfig } from "#mesh/create-mesh.js";
export type { AttemptStatus, DialTarget } from "#mesh/dialling/schedule.js";
export type { GossipChannel, Gossiper } from "#mesh/gossip.js";
export { type KeyPair, keyPair } from "#mesh/handshake/noise.js";
export { Mesh } from "#mesh/mesh.js";
export type { MeshEvents, MeshOptions, MeshStatus } from "#mesh/options.js";
export type { Overlay, OverlayConnection, OverlayLink } from "#mesh/overlay.js";
export { type KnownPeers, type PeerName, type PeerRecord, peerNameFromBytes, peerText } from "#mesh/peer.js";
export { oneSecret, type Secrets } from "#mesh/secrets.js";
export { makeSigner, type Signer } from "#mesh/signing.js";
export type { Routes } from "#mesh/topology/routes.js";
export type { Dial, Resolve, Wire, WireHandlers } from "#mesh/transport.js";
