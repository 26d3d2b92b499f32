import { launchedBridge, launchOptions } from "#cli/support/launched.js";
import { defaultEngine } from "#docker/engine/default-engine.js";
import { Engine } from "#docker/engine/engine.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { type AttachmentListing, listAttachments } from "#router/attachments/listing.js";

/*
 * Commands are clients of the router. These touch the host or a Docker engine themselves, as they work without a router:
 * - launch (with cli/launch/) checks routes and engine before there is a router, and starts it;
 * - reset removes interfaces and firewall rules, also of a router that has ended;
 * - setup checks a host on which a router never ran;
 * - ps lists what stays attached when a router has ended;
 * - docker-bridge-ip prints an address of Docker's bridge.
 */

/** The engine that the router faces, or would face; undefined where there is none. */
export function engine(): Engine | undefined {
  const api = launchOptions().docker?.api ?? defaultEngine(process.env);
  return api === "" ? undefined : new Engine(parseEngineAddress(api, process.env));
}

/** As the router's `GET /attachments`. */
export function listWithoutRouter(ids: readonly string[]): Promise<AttachmentListing> {
  const docker = engine();
  return listAttachments(launchedBridge(), ids, docker && ((text) => docker.container(text)));
}
