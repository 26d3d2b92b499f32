import assert from "node:assert/strict";
import { test } from "node:test";
import { HandlerTime } from "#mesh/connection/handler-time.js";

/** A thread: `work` uses both clocks, `wait` (another process runs) the monotonic one alone. */
function thread() {
  let [now, cpu, readings] = [1_000, 40, 0];
  const time = new HandlerTime(
    () => now,
    () => {
      readings++;
      return cpu;
    },
  );
  return {
    time,
    readings: () => readings,
    work(ms: number) {
      now += ms;
      cpu += ms;
    },
    wait(ms: number) {
      now += ms;
    },
  };
}

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-6, `${actual} ms, not ${expected}`);

test("a handler is charged for its own time, whether short or long", () => {
  const { time, work } = thread();
  for (const ms of [0.1, 0.5, 3, 700]) {
    const began = time.begin();
    work(ms);
    near(time.since(began), ms);
  }
});

test("what other processes take is not charged", () => {
  const { time, work, wait } = thread();
  const began = time.begin();
  work(2);
  wait(500);
  near(time.since(began), 2);
});

test("a handler is overcharged by a few milliseconds at most, for what ran since the last reading", () => {
  const { time, work, wait } = thread();
  time.begin();
  work(4);
  const began = time.begin();
  work(0.2);
  wait(50);
  near(time.since(began), 4.2);
});

test("short handlers need few readings", () => {
  const { time, work, readings } = thread();
  for (let i = 0; i < 1_000; i++) {
    const began = time.begin();
    work(0.1);
    near(time.since(began), 0.1);
  }
  assert.ok(readings() <= 21, `${readings()} readings in 100 ms`);
});
