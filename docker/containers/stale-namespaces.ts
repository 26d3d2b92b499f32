import { statSync } from "node:fs";
import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import type { Container } from "#docker/engine/shapes.js";
import type { Requests } from "#ipam/allocation/requests.js";
import { EVERYTHING, leaseText } from "#ipam/ring/subnet.js";
import { errorText } from "#src/errors.js";
import { findNetns, type Netns } from "#src/linux/netns/netns.js";
import { detachNamespace } from "#src/linux/netns/veth.js";
import type { Log } from "#src/log.js";

/**
 * A container that starts again gets a new network namespace and its old addresses. Where others still share the old namespace
 * (`--network container:…`) it loses them, as it has lost Docker's own interfaces when the container ended.
 */
export class StaleNamespaces implements ContainerObserver {
  readonly #ipam: { readonly requests: Requests; takeLeft(ident: string): Netns | undefined };
  readonly #log: Log;

  constructor(ipam: { readonly requests: Requests; takeLeft(ident: string): Netns | undefined }, log: Log) {
    this.#ipam = ipam;
    this.#log = log;
  }

  async running({ Id, State }: Container): Promise<void> {
    const old = this.#ipam.takeLeft(Id);
    if (old === undefined) return;
    const addresses = this.#ipam.requests.lookup(Id, EVERYTHING).map(leaseText);
    try {
      // Its path is that of a process, which may have ended: then another one may have its number.
      if (statSync(old.path).ino !== old.inode || findNetns(String(State.Pid)).inode === old.inode) return;
      await detachNamespace(old, addresses);
      this.#log.warn("a container was started again, and its old network namespace has lost its addresses", {
        container: Id.slice(0, 12),
        addresses,
      });
    } catch (error) {
      this.#log.info("the old network namespace of a container could not be looked at", {
        container: Id.slice(0, 12),
        why: errorText(error),
      });
    }
  }

  ended(): void {}
}
