import assert from "node:assert/strict";
import { test } from "node:test";
import { tunnelAddress } from "#src/linux/wireguard/tunnel.js";
import { TunnelHolders } from "#src/linux/wireguard/tunnel-holders.js";
import type { WireguardPeerState } from "#src/linux/wireguard/wireguard-message.js";

const [SELF, A, B] = ["02:00:00:00:00:01", "02:00:00:00:00:0a", "02:00:00:00:00:0b"];
const REFUSED = { code: "WEAVE_PEER_INVALID" };
const key = (byte: number) => new Uint8Array(32).fill(byte);
const holder = (peer: string, byte: number) => ({ peer, publicKey: key(byte), mtu: undefined });
const make = () => new TunnelHolders(tunnelAddress(SELF), { peer: SELF, publicKey: key(1) });
/** A peer of the kernel. */
const kernelPeer = (byte: number, address: string): WireguardPeerState => ({
  ...{ publicKey: key(byte), endpoint: undefined, lastHandshake: 0, received: 0, sent: 0, keepaliveSeconds: 0 },
  allowed: [`${address}/32`],
});

test("a peer gets neither the address nor the key of another one, or of this host", () => {
  const holders = make();
  holders.take("128.0.0.1", holder(A, 2));
  assert.throws(() => holders.take("128.0.0.1", holder(B, 3)), { ...REFUSED, message: /same address/ });
  assert.throws(() => holders.take("128.0.0.2", holder(B, 2)), { ...REFUSED, message: new RegExp(`key of .* ${A}`) });
  assert.throws(() => holders.take("128.0.0.2", holder(B, 1)), {
    ...REFUSED,
    message: new RegExp(`key of .* ${SELF}`),
  });
  assert.throws(() => holders.take(tunnelAddress(SELF), holder(B, 3)), REFUSED);
  assert.equal(holders.size, 1);
  holders.take("128.0.0.2", holder(B, 3));
  holders.take("128.0.0.1", holder(A, 4));
  assert.deepEqual([holders.has(key(2)), holders.has(key(4)), holders.has(key(3))], [false, true, true]);
});

test("a peer that the kernel refuses holds nothing, and its earlier key returns", () => {
  const holders = make();
  holders.take("128.0.0.1", holder(A, 2))();
  assert.equal(holders.size, 0);
  holders.take("128.0.0.1", holder(B, 3));
  const undo = holders.take("128.0.0.1", holder(B, 4));
  undo();
  assert.deepEqual(holders.get("128.0.0.1")?.publicKey, key(3));
  const late = holders.take("128.0.0.1", holder(B, 4));
  holders.take("128.0.0.1", holder(B, 5));
  late();
  assert.deepEqual(holders.get("128.0.0.1")?.publicKey, key(5));
});

test("the peer of an earlier process keeps its address and its key from another one until it is removed", () => {
  const holders = make();
  const kernel = [kernelPeer(2, "128.0.0.1")];
  const asked = { earlier: undefined, kernel };
  assert.throws(() => holders.replaced("128.0.0.1", key(3), asked), REFUSED);
  assert.throws(() => holders.replaced("128.0.0.2", key(2), asked), REFUSED);
  // Itself, or another address, or its own new key in this process.
  assert.deepEqual(holders.replaced("128.0.0.1", key(2), asked), []);
  assert.deepEqual(holders.replaced("128.0.0.2", key(3), asked), []);
  assert.deepEqual(holders.replaced("128.0.0.1", key(3), { earlier: key(2), kernel }), kernel);
  assert.deepEqual(holders.replaced("128.0.0.1", key(3), { earlier: undefined, kernel: [] }), []);
});

test("an address is released by its key alone", () => {
  const holders = make();
  holders.take("128.0.0.1", holder(A, 2));
  holders.release("128.0.0.1", key(3));
  assert.equal(holders.size, 1);
  holders.release("128.0.0.1", key(2));
  assert.equal(holders.size, 0);
});
