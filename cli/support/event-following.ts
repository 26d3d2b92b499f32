import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { callJson, openCall, REPORT_MS } from "#cli/support/client.js";
import { MAX_EVENTS } from "#router/event-log/event-document.js";
import type { EventRow, EventsDocument } from "#router/event-log/event-row.js";
import { messageData } from "#src/http/server-sent-events.js";
import { limitSize } from "#src/limit-size.js";

/** Pause between two attempts to reach a router that is away. */
const RETRY_MS = 1_000;
/** Time without a byte after which a router counts as away: twice as long as it is silent. */
const SILENT_MS = 40_000;
/** Longest message of the stream, in characters. */
const MAX_MESSAGE = 1 << 20;

/** The events that the router of this host knows of, oldest first. @throws WEAVE_NOT_RUNNING */
export async function knownEvents(): Promise<readonly EventRow[]> {
  const { Events } = await callJson<EventsDocument>({ path: `/events?limit=${MAX_EVENTS}`, answerMs: REPORT_MS });
  return Events;
}

/**
 * Passes on the events that are known, then each new one, without end. A router that is away is waited for; what happened meanwhile follows.
 *
 * @param show is called with the known events, later with new ones
 * @param say is called with a sentence when the router is away, and when it is back
 * @throws WEAVE_NOT_RUNNING, Exit when there is no router at first
 */
export async function followEvents(
  show: (rows: readonly EventRow[]) => void,
  say: (text: string) => void,
): Promise<never> {
  const seen = new Set<string>();
  const pass = (rows: readonly EventRow[]) => {
    const news = rows.filter(({ Id }) => !seen.has(Id));
    for (const { Id } of news) seen.add(Id);
    limitSize(seen, 2 * MAX_EVENTS);
    if (news.length > 0) show(news);
  };
  let [wasHere, isAway] = [false, false];
  for (;;) {
    try {
      // The stream first: what happens between the two calls is in one of them.
      const stream = await openCall({ path: "/events/stream" });
      pass(await knownEvents());
      wasHere = true;
      if (isAway) say("the router is back");
      isAway = false;
      for await (const row of rowsOf(stream)) pass([row]);
    } catch (error) {
      // Later it may be starting, or stopping.
      if (!wasHere) throw error;
    }
    if (!isAway) say("the router is away; waiting for it");
    isAway = true;
    await sleep(RETRY_MS);
  }
}

/** The events of a stream, until it ends or breaks. */
export async function* rowsOf(stream: IncomingMessage): AsyncGenerator<EventRow> {
  stream.setEncoding("utf8").setTimeout(SILENT_MS, () => stream.destroy());
  let text = "";
  try {
    for await (const chunk of stream) {
      text += chunk;
      const messages = text.split("\n\n");
      text = messages.pop()!;
      if (text.length > MAX_MESSAGE) return;
      for (const message of messages) {
        const data = messageData(message);
        if (data !== undefined) yield* (JSON.parse(data) as EventsDocument).Events;
      }
    }
  } catch {
    // The router has ended.
  } finally {
    stream.destroy();
  }
}
