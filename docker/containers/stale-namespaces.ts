import { statSync } from "node:fs";
import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import type { DockerIpam } from "#docker/deps.js";
import type { Container } from "#docker/engine/shapes.js";
import { EVERYTHING, leaseText } from "#ipam/ring/subnet.js";
import { errorText } from "#src/errors.js";
import { findNetns } from "#src/linux/netns/netns.js";
import { detachNamespace } from "#src/linux/netns/veth.js";
import type { Log } from "#src/log.js";

/**
 * Takes addresses away from the former network namespace of a container that has started again: the container has them in its new one.
 * Other containers may still share the former one (`--network container:…`); they lost Docker's own interfaces when it ended.
 */
export class StaleNamespaces implements ContainerObserver {
  readonly #ipam: Pick<DockerIpam, "requests" | "takeLeft">;
  readonly #log: Log;

  constructor(ipam: Pick<DockerIpam, "requests" | "takeLeft">, log: Log) {
    this.#ipam = ipam;
    this.#log = log;
  }

  async running({ Id, State }: Container): Promise<void> {
    const old = this.#ipam.takeLeft(Id);
    if (old === undefined) return;
    const addresses = this.#ipam.requests.lookup(Id, EVERYTHING).map(leaseText);
    try {
      // The path is that of a process: if it has ended, another process may have its id.
      if (statSync(old.path).ino !== old.inode || findNetns(String(State.Pid)).inode === old.inode) return;
      await detachNamespace(old, addresses);
      this.#log.warn("a container was started again, and its old network namespace has lost its addresses", {
        container: Id.slice(0, 12),
        addresses,
      });
    } catch (error) {
      this.#log.info("the old network namespace of a container could not be inspected", {
        container: Id.slice(0, 12),
        why: errorText(error),
      });
    }
  }
}
