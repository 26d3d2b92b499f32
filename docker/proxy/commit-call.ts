import type { Engine } from "#docker/engine/engine.js";
import { wordsOf } from "#docker/engine/shapes.js";
import { type ProxyCall, queryOf } from "#docker/proxy/call.js";
import { type JsonObject, stringsOf } from "#docker/proxy/json.js";
import { changeBody } from "#docker/proxy/json-body.js";
import { forwardAnswer, forwardRequest } from "#docker/proxy/pipe.js";
import { waitFolderOf, withoutWait } from "#docker/wait/helper.js";
import { isWrapped, type WaitConfig } from "#docker/wait/wrapped.js";
import type { Log } from "#src/log.js";

/** Handles `POST /commit`: an image of a container that the proxy created must run without the waiting helper. */
export async function commitContainer(
  { request, response }: ProxyCall,
  { engine, log }: { readonly engine: Engine; readonly log: Log },
): Promise<void> {
  const { bytes } = await changeBody(request, log, async (given) => {
    const container = await engine.container(queryOf(request, "container")).catch(() => undefined);
    return container && rewriteCommit(given, container);
  });
  forwardAnswer(await forwardRequest({ address: engine.address, request, body: bytes }), response);
}

/**
 * Changes the body of a commit so that the image runs the container's command without the helper. Docker copies the fields that the body
 * leaves out from the container.
 *
 * @returns undefined when there is nothing to change
 */
export function rewriteCommit(body: JsonObject, container: WaitConfig): JsonObject | undefined {
  const given = stringsOf(body.Entrypoint);
  if (!isWrapped(container) || (given.length > 0 && waitFolderOf(given) === undefined)) return undefined;
  const entrypoint = given.length > 0 ? given : wordsOf(container.Config.Entrypoint);
  const command = stringsOf(body.Cmd);
  return {
    ...body,
    Entrypoint: withoutWait(entrypoint),
    Cmd: command.length > 0 ? command : wordsOf(container.Config.Cmd),
  };
}
