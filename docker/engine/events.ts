import type { Engine } from "#docker/engine/engine.js";
import { JsonStream } from "#docker/engine/json-stream.js";
import { type EngineEvent, eventShape } from "#docker/engine/shapes.js";
import { Backoff, type BackoffPolicy } from "#src/backoff.js";
import { pause, systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { systemRandom } from "#src/random.js";

/** Delays between attempts to connect. The first is short, since the engine may be restarting. */
const RETRY: BackoffPolicy = { firstMs: 100, factor: 2, lastMs: 2_000, spread: 0 };

/** Receives the state and the events of the engine. */
export interface EngineListener {
  /**
   * The engine answers, for the first time or again. The listener must read the state that may have changed while it did not answer.
   * Events that arrive before all listeners have returned are delivered afterwards.
   */
  connected?(): Promise<void> | void;
  /** Called after all listeners' {@link connected}, for long work: events are delivered while it runs. */
  catchUp?(): Promise<void> | void;
  /** Called for each event, in the order in which they happened. */
  event?(event: EngineEvent): void;
  /** The engine does not answer, or no longer. Called after each failed attempt. */
  disconnected?(why: string): void;
}

/**
 * Follows an engine until `signal` is aborted: calls `connected`, then delivers events until the connection ends, then connects
 * again. It subscribes to events before `connected`, so that no change is missed between the two; some changes are seen twice.
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
        // A listener could not read or store a change. A new connection makes all listeners read their state again.
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
    log.warn("not all containers of the engine could be served", { why: errorText(error) });
  }
}

function parseEvent(text: string, log: Log): EngineEvent | undefined {
  try {
    return eventShape.parse(JSON.parse(text));
  } catch (error) {
    log.warn("an event of the Docker engine could not be parsed", { event: text.slice(0, 200), why: errorText(error) });
    return undefined;
  }
}
