import { WeaveError } from "#src/errors.js";
import type { WireguardPeerState } from "#src/linux/wireguard/wireguard-message.js";
import type { MacText } from "#src/mac.js";

/** A peer that has an address in the tunnels. */
export interface Holder {
  readonly peer: MacText;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Largest packet inside of WireGuard to the peer, in bytes; undefined: that of the device. */
  readonly mtu: number | undefined;
}

/**
 * Who has which address and which key in the tunnels. A peer only says what its key is: with one of another peer it could never send, but
 * the kernel would move that peer's address to it. So each address and each key has one holder, the first.
 */
export class TunnelHolders {
  readonly #address: string;
  readonly #self: Omit<Holder, "mtu">;
  readonly #holders = new Map<string, Holder>();

  /** @param address this host's own address in the tunnels */
  constructor(address: string, self: Omit<Holder, "mtu">) {
    this.#address = address;
    this.#self = self;
  }

  get size(): number {
    return this.#holders.size;
  }

  [Symbol.iterator](): IterableIterator<[string, Holder]> {
    return this.#holders.entries();
  }

  get(address: string): Holder | undefined {
    return this.#holders.get(address);
  }

  /**
   * Makes a peer the holder of its address, before the kernel is asked: another call must see it.
   *
   * @returns takes it back; the earlier holder returns
   * @throws WEAVE_PEER_INVALID when another peer has the address, or the key
   */
  take(address: string, holder: Holder): () => void {
    const before = this.#holders.get(address);
    if (address === this.#address || (before !== undefined && before.peer !== holder.peer))
      throw refused(`the peers ${before?.peer ?? this.#self.peer} and ${holder.peer} have the same address in tunnels`);
    const others = [...this.#holders.values()].filter(({ peer }) => peer !== holder.peer);
    const same = [this.#self, ...others].find(({ publicKey }) => isEqual(publicKey, holder.publicKey));
    if (same !== undefined) throw refused(`the peer ${holder.peer} has sent the key of the tunnel of ${same.peer}`);
    this.#holders.set(address, holder);
    return () => {
      if (this.#holders.get(address) !== holder) return;
      if (before === undefined) this.#holders.delete(address);
      else this.#holders.set(address, before);
    };
  }

  /**
   * The peers of the kernel that a peer replaces: those with its earlier key.
   *
   * @param earlier its last key of this process; undefined: none
   * @throws WEAVE_PEER_INVALID when an earlier process has given the address or the key to a peer that this one does not know. It ends when
   *   that one is removed
   */
  replaced(
    address: string,
    publicKey: Uint8Array,
    { earlier, kernel }: { readonly earlier: Uint8Array | undefined; readonly kernel: readonly WireguardPeerState[] },
  ): readonly WireguardPeerState[] {
    const network = `${address}/32`;
    const foreign = kernel.some((each) =>
      isEqual(each.publicKey, publicKey)
        ? each.allowed.some((allowed) => allowed !== network)
        : each.allowed.includes(network) && (earlier === undefined || !isEqual(each.publicKey, earlier)),
    );
    if (foreign)
      throw refused(
        "an earlier router has given the peer's address in tunnels, or its key, to one that has not connected",
      );
    return kernel.filter((each) => !isEqual(each.publicKey, publicKey) && each.allowed.includes(network));
  }

  /** Whether a peer of the kernel is one of this process. */
  has(publicKey: Uint8Array): boolean {
    return [...this.#holders.values()].some((holder) => isEqual(holder.publicKey, publicKey));
  }

  /** Forgets the holder of an address, if it has the key. */
  release(address: string, publicKey: Uint8Array): void {
    const holder = this.#holders.get(address);
    if (holder !== undefined && isEqual(holder.publicKey, publicKey)) this.#holders.delete(address);
  }

  clear(): void {
    this.#holders.clear();
  }
}

const refused = (what: string): WeaveError =>
  new WeaveError("WEAVE_PEER_INVALID", what, {
    next: "Frames to it travel by the router. Another name for it (weave launch --name), or a new identity, ends it.",
  });

const isEqual = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
