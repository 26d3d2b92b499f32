import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import type { Container } from "#docker/engine/shapes.js";
import { run } from "#src/linux/exec.js";
import { isPlainIfname } from "#src/linux/links/interface-names.js";
import { listLinks } from "#src/linux/links/links.js";
import { arpSettingsScript } from "#src/linux/netns/veth.js";

/**
 * Sets the ARP settings of containers on networks of our plugin. With them the kernel announces the container's addresses, which another
 * container with another MAC may have had before, and soon detects a neighbour with a new MAC. Docker sets none of this, and before version
 * 28 it announces no address.
 */
export class ArpSettings implements ContainerObserver {
  readonly #isOurNetwork: (network: string) => boolean;

  /** @param isOurNetwork whether our plugin drives the Docker network with this id */
  constructor(isOurNetwork: (network: string) => boolean) {
    this.#isOurNetwork = isOurNetwork;
  }

  async running({ State, NetworkSettings }: Container): Promise<void> {
    const ends = Object.values(NetworkSettings.Networks).filter(({ NetworkID }) => this.#isOurNetwork(NetworkID));
    if (ends.length === 0) return;
    const macs = new Set(ends.map(({ MacAddress }) => MacAddress.toLowerCase()));
    const netns = `/proc/${State.Pid}/ns/net`;
    try {
      const links = (await listLinks({ netns })).filter(
        ({ ifname, address }) => macs.has(address) && isPlainIfname(ifname),
      );
      // The kernel announces a link's IP addresses when its MAC is set, also to the same value (sysctl arp_notify).
      const script = links.map(
        ({ ifname, address }) => `${arpSettingsScript(ifname)}; ip link set dev ${ifname} address ${address}`,
      );
      if (script.length > 0) await run("sh", ["-c", script.join("; ")], { netns });
    } catch {
      // The container has ended.
    }
  }
}
