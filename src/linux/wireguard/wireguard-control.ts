import { WeaveError } from "#src/errors.js";
import { Errno } from "#src/linux/native/libc.js";
import type { NamespaceRef } from "#src/linux/native/namespace-entry.js";
import { AttributeMap } from "#src/linux/netlink/message-reader.js";
import { MessageWriter } from "#src/linux/netlink/message-writer.js";
import { Netlink, NetlinkError } from "#src/linux/netlink/netlink.js";
import {
  deviceChange,
  deviceQuery,
  readDevice,
  type WireguardChange,
  type WireguardState,
} from "#src/linux/wireguard/wireguard-message.js";

// linux/genetlink.h
const CONTROL_FAMILY = 16;
const GET_FAMILY = 3;
const FAMILY_ID = 1;
const FAMILY_NAME = 2;
const GENERIC_BYTES = 4;

/**
 * Configures WireGuard devices of a network namespace by generic netlink, as the program `wg` does: no key is on a command line, in a file
 * or in another process.
 */
export class WireguardControl {
  readonly #netlink: Netlink;
  /** Its number in generic netlink: another one when the module was removed and has come back. */
  #family: number;

  private constructor(netlink: Netlink, family: number) {
    this.#netlink = netlink;
    this.#family = family;
  }

  /** @throws WEAVE_NATIVE, with ENOENT when the kernel has no WireGuard */
  static async open(namespace: NamespaceRef): Promise<WireguardControl> {
    const netlink = Netlink.open("generic", namespace);
    try {
      return new WireguardControl(netlink, await findFamily(netlink));
    } catch (error) {
      netlink.close();
      throw error;
    }
  }

  /** Reads a device. @throws NetlinkError, with ENODEV when there is none */
  async read(device: string): Promise<WireguardState> {
    const bodies = await this.#asked((type) =>
      this.#netlink.dump(`read the WireGuard device ${device}`, { type, body: deviceQuery(device) }),
    );
    try {
      return readDevice(bodies);
    } finally {
      // The kernel sends the private key and the preshared keys too.
      for (const body of bodies) body.fill(0);
    }
  }

  /** Changes a device: all of it, or nothing. @throws NetlinkError, with EADDRINUSE when another program has the port */
  async change(device: string, change: WireguardChange): Promise<void> {
    const writer = deviceChange(device, change);
    try {
      const body = writer.finish();
      await this.#asked((type) => this.#netlink.request(`set the WireGuard device ${device}`, { type, body }));
    } finally {
      writer.clear();
    }
  }

  close(): void {
    this.#netlink.close();
  }

  /** Asks the family, and once more by its new number if the kernel does not know the former one (genetlink's ENOENT). */
  async #asked<T>(ask: (family: number) => Promise<T>): Promise<T> {
    try {
      return await ask(this.#family);
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.errno !== Errno.ENOENT) throw error;
      this.#family = await findFamily(this.#netlink);
      return await ask(this.#family);
    }
  }
}

/** @throws WEAVE_NATIVE, with ENOENT when the kernel has no WireGuard */
async function findFamily(netlink: Netlink): Promise<number> {
  const body = new MessageWriter().struct([1, GET_FAMILY], [1, 1], [2, 0]).text(FAMILY_NAME, "wireguard").finish();
  const answer = await netlink.request("find WireGuard in the kernel", { type: CONTROL_FAMILY, body });
  const family = answer && new AttributeMap(answer, GENERIC_BYTES).u16(FAMILY_ID);
  if (family === undefined) throw new WeaveError("WEAVE_NATIVE", "the kernel has no WireGuard");
  return family;
}
