import { launchedBridge, launchOptions } from "#cli/support/launched.js";
import { defaultEngine } from "#docker/engine/default-engine.js";
import { Engine } from "#docker/engine/engine.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { type AttachmentListing, listAttachments } from "#router/attachments/listing.js";

/*
 * Commands are clients of the router. Only these use the host or a Docker engine themselves, because they work without a router:
 * - launch (with cli/launch/) checks routes and engine, and starts the router;
 * - reset removes interfaces and firewall rules, also after the router has ended;
 * - backup and restore (with cli/backup/) read and replace the database, and identify this machine;
 * - bugreport reads logs, options and the state of the network;
 * - setup and doctor (with cli/doctor/) check a host on which a router never ran;
 * - ps lists attachments, which stay when the router has ended;
 * - launch, stop, restart and reset query the engine about the container in which a router runs (router-container.ts,
 *   cli/supervision/container/);
 * - docker-bridge-ip prints an address of Docker's bridge.
 */

/** Client of the engine that the last launch used, otherwise of the default engine; undefined if there is none. */
export function engine(): Engine | undefined {
  const api = launchOptions().docker?.api ?? defaultEngine(process.env);
  return api === "" ? undefined : new Engine(parseEngineAddress(api, process.env));
}

/** Lists the attachments of this host, as the router's `GET /attachments` does. */
export function listWithoutRouter(ids: readonly string[]): Promise<AttachmentListing> {
  const docker = engine();
  return listAttachments(launchedBridge(), ids, docker && ((text) => docker.container(text)));
}
