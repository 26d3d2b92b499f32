import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import type { Container } from "#docker/engine/shapes.js";
import { run } from "#src/linux/exec.js";
import { listLinks } from "#src/linux/links/links.js";
import { arpSettingsScript } from "#src/linux/netns/veth.js";

/**
 * ARP settings of containers on Docker networks of ours. They announce their addresses, which another container with another MAC may have
 * had before, and notice soon when a neighbour has moved. Docker sets none of this, and announces nothing before version 28.
 */
export class ArpSettings implements ContainerObserver {
  readonly #isOurNetwork: (network: string) => boolean;

  /** @param isOurNetwork whether a Docker network, by its id, is driven by our plugin */
  constructor(isOurNetwork: (network: string) => boolean) {
    this.#isOurNetwork = isOurNetwork;
  }

  async running({ State, NetworkSettings }: Container): Promise<void> {
    const ends = Object.values(NetworkSettings.Networks).filter(({ NetworkID }) => this.#isOurNetwork(NetworkID));
    if (ends.length === 0) return;
    const macs = new Set(ends.map(({ MacAddress }) => MacAddress.toLowerCase()));
    const netns = `/proc/${State.Pid}/ns/net`;
    try {
      const links = (await listLinks({ netns })).filter(({ address }) => macs.has(address));
      // Setting the MAC address that a link already has makes the kernel announce its IP addresses (arp_notify).
      const script = links.map(
        ({ ifname, address }) => `${arpSettingsScript(ifname)}; ip link set dev "${ifname}" address ${address}`,
      );
      if (script.length > 0) await run("sh", ["-c", script.join("; ")], { netns });
    } catch {
      // The container has ended meanwhile.
    }
  }
}
