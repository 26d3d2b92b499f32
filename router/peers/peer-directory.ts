import * as z from "zod/mini";
import type { Mesh } from "#mesh/mesh.js";
import type { KnownPeers } from "#mesh/peer.js";
import { nicknameShape, type PeerName, peerNameShape } from "#mesh/peer.js";
import { limitSize } from "#src/limit-size.js";
import { readStored, type Store } from "#src/store.js";

const KEY = "nicknames";
/** Maximum number of stored nicknames; the oldest is dropped first. */
const REMEMBERED = 4_096;
const shape = z.array(z.tuple([peerNameShape, nicknameShape])).check(z.maxLength(REMEMBERED));

/**
 * The reachable peers, and the nicknames of all peers ever seen: an operator can remove an unreachable peer by its nickname long after
 * the mesh has dropped its record.
 */
export class PeerDirectory implements KnownPeers {
  readonly #mesh: Mesh;
  readonly #store: Store;
  readonly #nicknames: Map<PeerName, string>;
  #reachable: ReadonlySet<PeerName> = new Set();

  /** @throws WEAVE_STORE */
  constructor(mesh: Mesh, store: Store) {
    this.#mesh = mesh;
    this.#store = store;
    this.#nicknames = new Map(readStored(store, KEY, shape, "'weave reset' starts again without them.") ?? []);
    this.update();
  }

  reachable(): ReadonlySet<PeerName> {
    return this.#reachable;
  }

  nickname(peer: PeerName): string | undefined {
    return this.#mesh.peer(peer)?.nickname ?? this.#nicknames.get(peer);
  }

  identity(peer: PeerName): string | undefined {
    return this.#mesh.peers.identity(peer);
  }

  pinnedIdentity(peer: PeerName): string | undefined {
    return this.#mesh.peers.pinnedIdentity(peer);
  }

  /** Whether a peer of this name or nickname was ever seen. */
  isKnown(who: string): boolean {
    return [...this.#nicknames].some(([name, nickname]) => name === who || nickname === who);
  }

  /** Updates the directory. Call this when routes have changed. */
  update(): void {
    const { self, peers } = this.#mesh.status();
    this.#reachable = new Set(peers.map(({ name }) => name).filter((name) => name !== self.name));
    let news = false;
    for (const { name, nickname } of peers) {
      if (this.#nicknames.get(name) === nickname) continue;
      this.#nicknames.delete(name);
      this.#nicknames.set(name, nickname);
      news = true;
    }
    limitSize(this.#nicknames, REMEMBERED);
    if (news) this.#store.put(KEY, [...this.#nicknames]);
  }
}
