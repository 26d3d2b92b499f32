import assert from "node:assert/strict";
import { test } from "node:test";
import { Emitter } from "#src/emitter.js";

interface Events {
  routes: [];
  forgotten: [peer: string, after: number];
}

test("listeners are called in order, with the arguments, until they unsubscribe", () => {
  const events = new Emitter<Events>();
  const received: string[] = [];
  const end = events.on("forgotten", (peer, after) => received.push(`first ${peer} ${after}`));
  events.on("forgotten", (peer) => received.push(`second ${peer}`));
  assert.equal(events.emit("forgotten", "a", 1), true);
  end();
  end();
  events.emit("forgotten", "b", 2);
  assert.deepEqual(received, ["first a 1", "second a", "second b"]);
});

test("emit returns false for an event without listeners", () => {
  const events = new Emitter<Events>();
  assert.equal(events.emit("routes"), false);
  const end = events.on("routes", () => {});
  assert.equal(events.emit("routes"), true);
  end();
  assert.equal(events.emit("routes"), false);
});

test("the same function may subscribe twice, and each subscription ends alone", () => {
  const events = new Emitter<Events>();
  let count = 0;
  const listener = () => void count++;
  const end = events.on("routes", listener);
  events.on("routes", listener);
  events.emit("routes");
  end();
  events.emit("routes");
  assert.equal(count, 3);
});

test("a listener that subscribes or unsubscribes during an event changes the next event", () => {
  const events = new Emitter<Events>();
  const received: string[] = [];
  const end = events.on("routes", () => {
    received.push("first");
    end();
    events.on("routes", () => received.push("late"));
  });
  events.on("routes", () => received.push("second"));
  events.emit("routes");
  assert.deepEqual(received, ["first", "second"]);
  events.emit("routes");
  assert.deepEqual(received, ["first", "second", "second", "late"]);
});

test("an error of a listener reaches the emitter", () => {
  const events = new Emitter<Events>();
  events.on("routes", () => {
    throw new Error("broken");
  });
  assert.throws(() => events.emit("routes"), { message: "broken" });
});
