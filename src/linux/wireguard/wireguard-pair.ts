import { generateKeyPairSync, randomBytes } from "node:crypto";
import { closeFd } from "#src/linux/native/files.js";
import { inNamespace, makeNamespace } from "#src/linux/native/namespace-entry.js";
import { addHostAddress, changeLink, findKernelLink, makeLink } from "#src/linux/netlink/link-requests.js";
import { Netlink } from "#src/linux/netlink/netlink.js";
import { setHostRoute } from "#src/linux/netlink/route-requests.js";
import { WireguardControl } from "#src/linux/wireguard/wireguard-control.js";
import { endpoint } from "#src/net/endpoint.js";

/** Inner addresses and outer UDP ports of the two ends: the namespaces are ours alone. */
const ADDRESSES = ["10.0.0.1", "10.0.0.2"] as const;
const PORTS = [51_820, 51_821] as const;

/**
 * Two WireGuard devices, each in a network namespace of its own, joined by the loopback interface of a third. No interface of the host is
 * part of it, and the kernel removes all of it with {@link close}.
 */
export class WireguardPair {
  readonly addresses = ADDRESSES;
  readonly #ends: readonly [number, number];
  readonly #namespaces: readonly number[];

  private constructor(namespaces: readonly [outside: number, first: number, second: number]) {
    this.#namespaces = namespaces;
    this.#ends = [namespaces[1], namespaces[2]];
  }

  /**
   * @param mtu largest packet inside, in bytes
   * @throws WEAVE_NAMESPACE, WEAVE_NATIVE, also when the kernel has no WireGuard
   */
  static async open(mtu: number): Promise<WireguardPair> {
    const namespaces: number[] = [];
    try {
      namespaces.push(makeNamespace(), makeNamespace(), makeNamespace());
      const pair = new WireguardPair(namespaces as [number, number, number]);
      await pair.#make(mtu);
      return pair;
    } catch (error) {
      namespaces.forEach(closeFd);
      throw error;
    }
  }

  /** Calls `work` in the namespace of an end, on this thread: a socket that it makes stays there. */
  inside<Result>(end: 0 | 1, work: () => Result): Result {
    return inNamespace(this.#ends[end], work);
  }

  /** Closes the namespaces. They end with the last socket in them. */
  close(): void {
    this.#namespaces.forEach(closeFd);
  }

  async #make(mtu: number): Promise<void> {
    const keys = ADDRESSES.map(makeKeys);
    const presharedKey = Uint8Array.from(randomBytes(32));
    const outside = Netlink.open("route", this.#namespaces[0]);
    try {
      const loopback = await findKernelLink(outside, "lo");
      await changeLink(outside, "enable lo", loopback!.ifindex, { up: true });
      for (const index of [0, 1] as const) {
        const device = `wg${index}`;
        // Made here, its socket stays here.
        await makeLink(outside, device, "wireguard", { mtu });
        const link = await findKernelLink(outside, device);
        await changeLink(outside, `move the device ${device}`, link!.ifindex, { namespace: this.#ends[index] });
        const { privateKey } = keys[index];
        await this.#configure(index, device, { privateKey, publicKey: keys[1 - index].publicKey, presharedKey });
      }
    } finally {
      outside.close();
      presharedKey.fill(0);
      for (const { privateKey } of keys) privateKey.fill(0);
    }
  }

  /** @param keys.publicKey the other end's */
  async #configure(
    index: 0 | 1,
    device: string,
    {
      privateKey,
      ...keys
    }: { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array; readonly presharedKey: Uint8Array },
  ): Promise<void> {
    const other = 1 - index;
    const inside = Netlink.open("route", this.#ends[index]);
    let control: WireguardControl | undefined;
    try {
      control = await WireguardControl.open(this.#ends[index]);
      const peer = { ...keys, endpoint: endpoint("127.0.0.1", PORTS[other]), address: ADDRESSES[other] };
      await control.change(device, { privateKey, listenPort: PORTS[index], peers: [peer] });
      const { ifindex } = (await findKernelLink(inside, device))!;
      await changeLink(inside, `enable the device ${device}`, ifindex, { up: true });
      await addHostAddress(inside, ifindex, ADDRESSES[index]);
      await setHostRoute(inside, { address: ADDRESSES[other], ifindex, mtu: undefined });
    } finally {
      control?.close();
      inside.close();
    }
  }
}

function makeKeys(): { readonly privateKey: Uint8Array; readonly publicKey: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  // The last 32 bytes of these encodings are the keys themselves (RFC 8410).
  return {
    privateKey: Uint8Array.from(privateKey.export({ type: "pkcs8", format: "der" }).subarray(-32)),
    publicKey: Uint8Array.from(publicKey.export({ type: "spki", format: "der" }).subarray(-32)),
  };
}
