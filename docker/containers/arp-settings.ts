import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import type { Container } from "#docker/engine/shapes.js";
import { run } from "#src/linux/exec.js";
import { listLinks } from "#src/linux/links/links.js";
import { arpSettingsScript } from "#src/linux/netns/veth.js";

/**
 * Containers on Docker networks of ours announce their addresses, which others had before with another MAC, it may be; and they
 * find out soon when a neighbour has moved. Docker itself sets nothing of this, and announces nothing before version 28.
 */
export class ArpSettings implements ContainerObserver {
  readonly #isOurs: (network: string) => boolean;

  constructor(isOurs: (network: string) => boolean) {
    this.#isOurs = isOurs;
  }

  async running({ State, NetworkSettings }: Container): Promise<void> {
    const ends = Object.values(NetworkSettings.Networks).filter(({ NetworkID }) => this.#isOurs(NetworkID));
    if (ends.length === 0) return;
    const macs = new Set(ends.map(({ MacAddress }) => MacAddress.toLowerCase()));
    const netns = `/proc/${State.Pid}/ns/net`;
    try {
      const links = (await listLinks({ netns })).filter(({ address }) => macs.has(address));
      // The address that it has: so the kernel announces its IP addresses (arp_notify).
      const script = links.map(
        ({ ifname, address }) => `${arpSettingsScript(ifname)}; ip link set dev "${ifname}" address ${address}`,
      );
      if (script.length > 0) await run("sh", ["-c", script.join("; ")], { netns });
    } catch {
      // A container that has ended meanwhile needs nothing any more.
    }
  }

  ended(): void {}
}
