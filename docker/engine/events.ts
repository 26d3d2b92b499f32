import type { Engine } from "#docker/engine/engine.js";
import { JsonStream } from "#docker/engine/json-stream.js";
import { type EngineEvent, eventShape } from "#docker/engine/shapes.js";
import { Backoff, type BackoffPolicy } from "#src/backoff.js";
import { pause, systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { systemRandom } from "#src/random.js";

/** Attempts to connect: soon at first, as the engine may only restart. */
const RETRY: BackoffPolicy = { firstMs: 100, factor: 2, lastMs: 2_000, spread: 0 };

/** A part that follows the engine. */
export interface EngineListener {
  /**
   * An engine answers, for the first time or again: what may have changed meanwhile must be read again. Events that arrive
   * before all listeners have returned are delivered afterwards.
   */
  connected?(): Promise<void> | void;
  /** Work after {@link connected} of all listeners that may take long; events are delivered meanwhile. */
  catchUp?(): Promise<void> | void;
  /** In the order in which the events happened. */
  event?(event: EngineEvent): void;
  disconnected?(why: string): void;
}

/**
 * Follows an engine until `signal` is aborted: `connected`, then events, until it goes away; and again when it is back. The
 * subscription to events comes before `connected`, so that nothing is missed between the two; some changes are seen twice.
 *
 * @param listeners are called one after another, in this order
 */
export async function followEngine(
  engine: Engine,
  listeners: readonly EngineListener[],
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff(RETRY, systemRandom);
  while (!signal.aborted) {
    try {
      await engine.negotiate();
      const stream = await engine.events(signal);
      backoff.reset();
      let last: Promise<void> = Promise.resolve();
      const then = (run: () => Promise<void> | void) => {
        last = last.then(run);
        // What a listener could not read or store must be read again: the connection is made again.
        last.catch((error) => stream.destroy(error as Error));
      };
      then(() => connected(listeners, log));
      const json = new JsonStream();
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        for (const text of json.push(chunk)) {
          const event = parseEvent(text, log);
          if (event !== undefined)
            then(() => {
              for (const listener of listeners) listener.event?.(event);
            });
        }
      }
      await last;
      throw new Error("the engine ended the stream of events");
    } catch (error) {
      if (signal.aborted) return;
      for (const listener of listeners) listener.disconnected?.(errorText(error));
    }
    await pause(systemClock, backoff.next(), signal);
  }
}

async function connected(listeners: readonly EngineListener[], log: Log): Promise<void> {
  for (const listener of listeners) await listener.connected?.();
  void catchUp(listeners, log);
}

async function catchUp(listeners: readonly EngineListener[], log: Log): Promise<void> {
  try {
    for (const listener of listeners) await listener.catchUp?.();
  } catch (error) {
    log.warn("the containers of the engine could not all be served", { why: errorText(error) });
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
