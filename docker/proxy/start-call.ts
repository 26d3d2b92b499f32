import type { Attacher } from "#docker/containers/attacher.js";
import type { ContainerTracker } from "#docker/containers/container-tracker.js";
import type { Engine } from "#docker/engine/engine.js";
import { type Container, wordsOf } from "#docker/engine/shapes.js";
import type { ProxyCall } from "#docker/proxy/call.js";
import { type CreateSettings, searchOf, withDns, withHelper } from "#docker/proxy/create-rewrite.js";
import { changeBody } from "#docker/proxy/json-body.js";
import { answerError, forwardAnswer, forwardRequest } from "#docker/proxy/pipe.js";
import { waitFolderOf } from "#docker/wait/helper.js";
import { isWrapped } from "#docker/wait/wrapped.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { settledWithin } from "#src/time-limit.js";

/** Limit for the wait for an address, as the client waits for the answer to the start. */
const ADDRESS_MS = 20_000;
/** Limit for all steps after a start, also when the engine does not answer our calls. Longer than {@link ADDRESS_MS}. */
const START_MS = 40_000;

export interface StartDeps {
  readonly engine: Engine;
  readonly containers: Pick<ContainerTracker, "serveStarted">;
  readonly attacher: Attacher;
  /** Returns the current settings for created containers. */
  readonly settings: () => Promise<CreateSettings>;
  readonly log: Log;
}

/**
 * Handles `POST /containers/NAME/start` and `restart`: the answer waits until the container is attached. A container that cannot be
 * attached is killed, and the call fails.
 */
export async function startContainer({ request, response }: ProxyCall, deps: StartDeps, name: string): Promise<void> {
  const { engine, log } = deps;
  const container = await engine.container(name).catch(() => undefined);

  // Clients before API 1.24 send a HostConfig, which replaces that of the created container.
  const { bytes } = await changeBody(request, log, async (given) => {
    if (Object.keys(given).length === 0 || container === undefined || !isWrapped(container)) return undefined;
    const { helper, dns } = await deps.settings();
    const folder = waitFolderOf(wordsOf(container.Config.Entrypoint))!;
    return withDns(withHelper(given, helper, folder), dns, searchOf({ ...container.Config }, dns));
  });

  const answer = await forwardRequest({ address: engine.address, request, body: bytes });

  if (container === undefined || answer.statusCode !== 204) return forwardAnswer(answer, response);
  const failure = await attachStarted(container, deps).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure === undefined) return forwardAnswer(answer, response);
  await engine.kill(container.Id).catch(() => {});
  answer.resume();
  answerError(response, 500, `the container could not be put on the weave network: ${errorText(failure)}`);
}

/**
 * Attaches a container that the engine has just started, if it was created through the proxy, and informs all observers.
 *
 * @param limitMs limit for all steps
 * @throws the reason for which it is not attached
 */
export async function attachStarted(
  container: Container,
  { containers, attacher }: Pick<StartDeps, "containers" | "attacher">,
  limitMs = START_MS,
): Promise<void> {
  let current = container;
  const served = containers.serveStarted(container.Id, (started, signal) => {
    current = started;
    return attacher.attach(started, signal, ADDRESS_MS);
  });
  if (await settledWithin(served, limitMs)) return served;
  if (!isWrapped(container) || attacher.isAttached(current)) return;
  throw new WeaveError("WEAVE_DOCKER", `it was not on the network within ${limitMs / 1_000} s`, {
    next: "'weave status' and the router's log show the reason.",
  });
}
