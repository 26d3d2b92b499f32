import type { ServerResponse } from "node:http";
import type { Answer } from "#src/http/answer.js";

/** Server-sent events (HTML Living Standard, 9.2): a stream of messages, by which a browser connects again after it has ended. */

/** A comment, by which both ends learn that the other one is gone. */
export const KEEP_ALIVE_MESSAGE = ":\n\n";

export interface ServerSentMessage {
  /** Type of the message; `message` if left out. */
  readonly event?: string;
  /** What a client sends as `Last-Event-ID` when it connects again. */
  readonly id?: string;
  /** One line, as JSON is. */
  readonly data: string;
}

export const messageText = ({ event, id, data }: ServerSentMessage): string =>
  `${event === undefined ? "" : `event: ${event}\n`}${id === undefined ? "" : `id: ${id}\n`}data: ${data}\n\n`;

/** Sets how long a client waits before it connects again. @param ms milliseconds */
export const retryMessage = (ms: number): string => `retry: ${ms}\n\n`;

/** The data of a message that {@link messageText} made; undefined for a comment and the like. */
export const messageData = (message: string): string | undefined => /^data: (.*)$/m.exec(message)?.[1];

/** @param open sends messages until the response is closed */
export const eventStreamAnswer = (open: (response: ServerResponse) => void): Answer => ({
  type: "text/event-stream",
  headers: { "Cache-Control": "no-store" },
  stream: open,
});
