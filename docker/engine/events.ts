import { setTimeout as sleep } from "node:timers/promises";
import type { Engine } from "#docker/engine/engine.js";
import { JsonStream } from "#docker/engine/json-stream.js";
import { type EngineEvent, eventShape } from "#docker/engine/shapes.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** An engine that is away is looked for this often: at first soon, as it may only restart. */
const RETRY_MS = { first: 100, last: 2_000 };

export interface EngineListener {
  /** An engine answers, for the first time or again: whatever happened meanwhile must be looked up. */
  connected(): Promise<void>;
  /** In the order in which things happened. What was queued before `connected` returned comes after it. */
  happened(event: EngineEvent): Promise<void> | void;
  lost(why: string): void;
}

/**
 * Follows an engine: `connected`, then events, until it goes away; and again when it is back. Events are subscribed to
 * before `connected` looks, so that nothing falls between the two; what both saw is seen twice.
 */
export async function followEngine(
  engine: Engine,
  listener: EngineListener,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  let delay = RETRY_MS.first;
  while (!signal.aborted) {
    try {
      await engine.negotiate();
      const stream = await engine.events(signal);
      delay = RETRY_MS.first;
      let last: Promise<void> = Promise.resolve();
      const then = (run: () => Promise<void> | void) => {
        last = last.then(run);
        // A failure to look or to note is a failure of the connection: looking begins anew.
        last.catch((error) => stream.destroy(error as Error));
      };
      then(() => listener.connected());
      const json = new JsonStream();
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        for (const text of json.push(chunk)) {
          const event = parseEvent(text, log);
          if (event !== undefined) then(() => listener.happened(event));
        }
      }
      await last;
      throw new Error("the engine ended the stream of events");
    } catch (error) {
      if (signal.aborted) return;
      listener.lost(errorText(error));
    }
    await sleep(delay, undefined, { signal, ref: false }).catch(() => {});
    delay = Math.min(delay * 2, RETRY_MS.last);
  }
}

function parseEvent(text: string, log: Log): EngineEvent | undefined {
  try {
    return eventShape.parse(JSON.parse(text));
  } catch (error) {
    log.warn("an event of the Docker engine was not understood", { event: text.slice(0, 200), why: errorText(error) });
    return undefined;
  }
}
