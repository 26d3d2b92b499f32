import { statSync } from "node:fs";
import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import type { DockerIpam } from "#docker/deps.js";
import { type Container, shortId } from "#docker/engine/shapes.js";
import { EVERYTHING, leaseText } from "#ipam/ring/subnet.js";
import { errorText } from "#src/errors.js";
import { findNetns } from "#src/linux/netns/netns.js";
import { detachNamespace } from "#src/linux/netns/veth.js";
import type { Log } from "#src/log.js";

/**
 * Removes the addresses of a restarted container from its previous network namespace, since it has them in its new one. The previous
 * namespace exists while other containers share it (`--network container:…`). Docker removed its own interfaces from it already.
 */
export class StaleNamespaces implements ContainerObserver {
  readonly #ipam: Pick<DockerIpam, "requests" | "takePreviousNetns">;
  readonly #log: Log;

  constructor(ipam: Pick<DockerIpam, "requests" | "takePreviousNetns">, log: Log) {
    this.#ipam = ipam;
    this.#log = log;
  }

  async running({ Id, State }: Container): Promise<void> {
    const old = this.#ipam.takePreviousNetns(Id);
    if (old === undefined) return;
    const addresses = this.#ipam.requests.lookup(Id, EVERYTHING).map(leaseText);
    try {
      // The path names a process. If it has ended, another process may have its id.
      if (statSync(old.path).ino !== old.inode || findNetns(String(State.Pid)).inode === old.inode) return;
      await detachNamespace(old, addresses);
      this.#log.warn("a container was started again, and its old network namespace has lost its addresses", {
        container: shortId(Id),
        addresses,
      });
    } catch (error) {
      this.#log.info("the old network namespace of a container could not be inspected", {
        container: shortId(Id),
        why: errorText(error),
      });
    }
  }
}
