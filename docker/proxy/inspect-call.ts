import type { Engine } from "#docker/engine/engine.js";
import type { ProxyCall } from "#docker/proxy/call.js";
import { isObject, type JsonObject } from "#docker/proxy/json.js";
import { bytesOf, readJson } from "#docker/proxy/json-body.js";
import { forwardAnswer, forwardRequest } from "#docker/proxy/pipe.js";
import { inspectNamespace } from "#src/linux/netns/inspect.js";
import { findNetns } from "#src/linux/netns/netns.js";

interface InspectDeps {
  readonly engine: Engine;
}

/** Handles `GET /containers/NAME/json`: shows the overlay address in the fields where old tools read a container's address. */
export const inspectContainer = (call: ProxyCall, deps: InspectDeps): Promise<void> =>
  inspect(call, deps, (answer) => answer);

/** Handles `GET /exec/ID/json`: the same for the container in which the command runs. */
export const inspectExec = (call: ProxyCall, deps: InspectDeps): Promise<void> =>
  inspect(call, deps, ({ Container }) => Container);

async function inspect(
  { request, response }: ProxyCall,
  { engine }: InspectDeps,
  containerOf: (answer: JsonObject) => unknown,
): Promise<void> {
  const answer = await forwardRequest({ address: engine.address, request });
  if (answer.statusCode !== 200) return forwardAnswer(answer, response);
  const { json, bytes } = await readJson(answer);
  const container = json === undefined ? undefined : containerOf(json);
  const changed = isObject(container) && (await showAddress(container).catch(() => false));
  forwardAnswer(answer, response, changed ? bytesOf(json!) : bytes);
}

/** Writes the overlay address into an inspected container. @returns false if it is not attached, and unchanged */
async function showAddress({ State, NetworkSettings }: JsonObject): Promise<boolean> {
  if (!isObject(State) || !isObject(NetworkSettings) || typeof State.Pid !== "number" || State.Pid === 0) return false;
  const attached = await inspectNamespace(findNetns(String(State.Pid)));
  const first = attached?.addresses[0]?.split("/");
  if (attached === undefined || first === undefined) return false;
  Object.assign(NetworkSettings, { MacAddress: attached.mac, IPAddress: first[0], IPPrefixLen: Number(first[1]) });
  return true;
}
