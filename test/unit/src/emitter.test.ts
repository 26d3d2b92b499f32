import assert from "node:assert/strict";
import { test } from "node:test";
import { Emitter } from "#src/emitter.js";

interface Events {
  routes: [];
  forgotten: [peer: string, after: number];
}

test("listeners are called in order, with the arguments, until they unsubscribe", () => {
  const events = new Emitter<Events>();
  const heard: string[] = [];
  const end = events.on("forgotten", (peer, after) => heard.push(`first ${peer} ${after}`));
  events.on("forgotten", (peer) => heard.push(`second ${peer}`));
  assert.equal(events.emit("forgotten", "a", 1), true);
  end();
  end();
  events.emit("forgotten", "b", 2);
  assert.deepEqual(heard, ["first a 1", "second a", "second b"]);
});

test("an event without listeners says so: what it carries is the emitter's to deal with", () => {
  const events = new Emitter<Events>();
  assert.equal(events.emit("routes"), false);
  const end = events.on("routes", () => {});
  assert.equal(events.emit("routes"), true);
  end();
  assert.equal(events.emit("routes"), false);
});

test("the same function may subscribe twice, and each subscription ends by itself", () => {
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

test("who subscribes or unsubscribes during an event changes the next one", () => {
  const events = new Emitter<Events>();
  const heard: string[] = [];
  const end = events.on("routes", () => {
    heard.push("first");
    end();
    events.on("routes", () => heard.push("late"));
  });
  events.on("routes", () => heard.push("second"));
  events.emit("routes");
  assert.deepEqual(heard, ["first", "second"]);
  events.emit("routes");
  assert.deepEqual(heard, ["first", "second", "second", "late"]);
});

test("an error of a listener reaches the emitter", () => {
  const events = new Emitter<Events>();
  events.on("routes", () => {
    throw new Error("broken");
  });
  assert.throws(() => events.emit("routes"), { message: "broken" });
});
