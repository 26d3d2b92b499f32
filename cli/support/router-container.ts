import { containerName } from "#cli/support/environment.js";
import { launchOptions } from "#cli/support/launched.js";
import { defaultEngine } from "#docker/engine/default-engine.js";
import { Engine } from "#docker/engine/engine.js";
import { DEFAULT_ENGINE, parseEngineAddress } from "#docker/engine/engine-address.js";
import { findContainer, type OwnContainer, ROLE_LABEL } from "#docker/engine/own-containers.js";

/** Roles of weave's own containers. */
export type Role = "router" | "state";

/** The engine in which the router's container is: that of the last launch, else of this host's client; never weave's proxy. */
export function containerEngine(api = launchOptions().docker?.api): Engine {
  return new Engine(parseEngineAddress(api || defaultEngine(process.env) || DEFAULT_ENGINE, process.env));
}

/** Whether weave created a container for a role. */
export const hasRole = ({ Config }: OwnContainer, role: Role): boolean => Config.Labels?.[ROLE_LABEL] === role;

/** Whether the engine keeps a container running: it runs, waits for its restart, or is paused. */
export const isKeptRunning = ({ State }: OwnContainer): boolean => State.Running || State.Restarting || State.Paused;

/** The router's container; undefined when there is none, or another one has its name. @throws WEAVE_DOCKER_UNAVAILABLE */
export async function routerContainer(engine = containerEngine()): Promise<OwnContainer | undefined> {
  const found = await findContainer(engine, containerName());
  return found && hasRole(found, "router") ? found : undefined;
}
