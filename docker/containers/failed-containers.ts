import type { Engine } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import { type Container, shortId } from "#docker/engine/shapes.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** Docker's errors about a network or its driver. They occur when the engine starts before the plugin. */
const NETWORK_ERROR = /plugin|network|driver|endpoint|sandbox/i;

/**
 * Starts containers that Docker failed to start at its own start because our plugin did not run yet. Docker does not retry.
 */
export class FailedContainers implements EngineListener {
  readonly #engine: Engine;
  readonly #log: Log;

  constructor(engine: Engine, log: Log) {
    this.#engine = engine;
    this.#log = log;
  }

  async catchUp(): Promise<void> {
    const engine = this.#engine;
    const log = this.#log;
    try {
      for (const id of await engine.stoppedIds()) {
        const container = await engine.container(id).catch(() => undefined);
        if (container === undefined || !failedWithoutPlugin(container)) continue;
        log.info("a container that failed to start without the plugin is started", { container: shortId(id) });
        await engine
          .start(id)
          .catch((error) => log.warn("a container could not be started", { container: id, why: errorText(error) }));
      }
    } catch (error) {
      log.warn("Docker's containers could not be listed", { why: errorText(error) });
    }
  }
}

/** Whether Docker failed to start a container because its network was not available. A container that a user has stopped has no error. */
export function failedWithoutPlugin({ State, HostConfig }: Pick<Container, "State" | "HostConfig">): boolean {
  return (
    !State.Running &&
    ["always", "unless-stopped"].includes(HostConfig.RestartPolicy.Name) &&
    NETWORK_ERROR.test(State.Error)
  );
}
