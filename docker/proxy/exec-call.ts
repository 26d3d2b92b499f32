import type { Attacher } from "#docker/containers/attacher.js";
import type { Engine } from "#docker/engine/engine.js";
import type { ProxyCall } from "#docker/proxy/call.js";
import { forwardAnswer, forwardRequest } from "#docker/proxy/pipe.js";

/** Limit for the wait for a container's interface. Then the command runs: users look for the cause of a failure inside the container. */
const NETWORK_MS = 20_000;

/** Handles `POST /containers/NAME/exec`: the command waits until the container is attached, or an attempt has failed. */
export async function createExec(
  { request, response }: ProxyCall,
  { engine, attacher }: { readonly engine: Engine; readonly attacher: Attacher },
  name: string,
): Promise<void> {
  const container = await engine.container(name).catch(() => undefined);
  if (container?.State.Running) await attacher.firstAttempt(container, NETWORK_MS);
  forwardAnswer(await forwardRequest({ address: engine.address, request }), response);
}
