import { Exit } from "#cli/support/exit.js";
import { launched } from "#cli/support/launched.js";
import { fqdnOf } from "#docker/containers/container-names.js";
import { defaultEngine } from "#docker/engine/default-engine.js";
import { Engine, EngineError } from "#docker/engine/engine.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import type { Container } from "#docker/engine/shapes.js";
import { WeaveError } from "#src/errors.js";
import { findNetns, isNetnsText, type Netns, netnsIdent } from "#src/linux/netns/netns.js";

/** What a command is about: a Docker container, or a bare network namespace. */
export interface Target {
  /** Under which addresses and names are held. */
  readonly ident: string;
  readonly netns: Netns;
  /** Undefined for a namespace, and for a container without a domain. */
  readonly fqdn: string | undefined;
  readonly container: Container | undefined;
}

/**
 * Finds a container by its name or id; or a namespace by `netns:NAME`, a path, or the id of a process, when no container is
 * called that.
 *
 * @throws Exit when it does not run; WEAVE_NAMESPACE, WEAVE_DOCKER_UNAVAILABLE
 */
export async function findTarget(text: string): Promise<Target> {
  const container = isNetnsText(text) ? undefined : await findContainer(text);
  if (container === undefined) {
    const netns = findNetns(text);
    return { ident: netnsIdent(netns), netns, fqdn: undefined, container };
  }
  if (!container.State.Running) throw new Exit(1, `container ${text} not running`);
  return {
    ident: container.Id,
    netns: findNetns(String(container.State.Pid)),
    fqdn: fqdnOf(container),
    container,
  };
}

/** The engine that the router faces; undefined where there is none. */
export function engine(): Engine | undefined {
  const api = launched().docker?.api ?? defaultEngine(process.env);
  return api === "" ? undefined : new Engine(parseEngineAddress(api, process.env));
}

async function findContainer(text: string): Promise<Container | undefined> {
  try {
    return await engine()?.container(text);
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) {
      // A process, it may be.
      if (/^\d+$/.test(text)) return undefined;
      throw new WeaveError("WEAVE_NAMESPACE", `there is no container ${text}`, {
        next: "'docker ps' lists those that run. A namespace is netns:NAME, a path, or the id of a process.",
      });
    }
    // Docker is away: a process is found without it.
    if (error instanceof WeaveError && error.code === "WEAVE_DOCKER_UNAVAILABLE" && /^\d+$/.test(text))
      return undefined;
    throw error;
  }
}
