import type { Engine } from "#docker/engine/engine.js";
import type { Container } from "#docker/engine/shapes.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** An error of Docker's that has to do with a network or its driver: ours was not there when the engine came up. */
const OF_THE_NETWORK = /plugin|network|driver|endpoint|sandbox/i;

/**
 * Starts containers that Docker should have started with itself, and could not as our plugin was not there yet: it does
 * not try again.
 */
export async function restartFailedContainers(engine: Engine, log: Log): Promise<void> {
  try {
    for (const id of await engine.ended()) {
      const container = await engine.container(id).catch(() => undefined);
      if (container === undefined || !failedForWeave(container)) continue;
      log.info("a container that could not start without us is started", { container: id.slice(0, 12) });
      await engine
        .start(id)
        .catch((error) => log.warn("a container could not be started", { container: id, why: errorText(error) }));
    }
  } catch (error) {
    log.warn("Docker's containers could not be looked at", { why: errorText(error) });
  }
}

/** Whoever stops a container by hand leaves no error on it. */
export function failedForWeave({ State, HostConfig }: Pick<Container, "State" | "HostConfig">): boolean {
  return (
    !State.Running &&
    ["always", "unless-stopped"].includes(HostConfig.RestartPolicy.Name) &&
    OF_THE_NETWORK.test(State.Error)
  );
}
