import assert from "node:assert/strict";
import { test } from "node:test";
import { KEEP_ALIVE_MESSAGE, messageData, messageText, retryMessage } from "#src/http/server-sent-events.js";

test("a message has its type, id and data each on a line, and ends with an empty one", () => {
  assert.equal(messageText({ data: "{}" }), "data: {}\n\n");
  assert.equal(messageText({ event: "state", id: "a/1", data: "{}" }), "event: state\nid: a/1\ndata: {}\n\n");
});

test("a reader finds the data of messages alone", () => {
  const data = JSON.stringify({ text: "two\nlines: data: x" });
  assert.equal(messageData(messageText({ id: "a/1", data })), data);
  assert.equal(messageData(KEEP_ALIVE_MESSAGE), undefined);
  assert.equal(messageData(retryMessage(2_000)), undefined);
});
