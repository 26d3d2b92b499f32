import assert from "node:assert/strict";
import { test } from "node:test";
import { TrafficLedger } from "#router/datapath/traffic-ledger.js";

test("a neighbour that returns continues with its counts", () => {
  const ledger = new TrafficLedger();
  ledger.of(7).bytesSent += 10;
  const again = ledger.of(7);
  again.bytesSent += 5;
  again.recordsReceived++;
  assert.deepEqual(ledger.list(), [{ peer: 7, recordsSent: 0, bytesSent: 15, recordsReceived: 1, bytesReceived: 0 }]);
});

test("the list is a copy, and of too many neighbours that whose session opened first is dropped", () => {
  const ledger = new TrafficLedger();
  for (let peer = 1; peer <= 1_024; peer++) ledger.of(peer);
  ledger.of(1);
  ledger.of(5_000);
  const peers = ledger.list().map(({ peer }) => peer);
  assert.equal(peers.length, 1_024);
  assert.deepEqual([peers.includes(1), peers.includes(2), peers.includes(5_000)], [true, false, true]);
  const [first] = ledger.list();
  ledger.of(first.peer).recordsSent++;
  assert.equal(first.recordsSent, 0);
});
