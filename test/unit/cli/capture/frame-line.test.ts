import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { frameLine, frameText } from "#cli/capture/frame-line.js";

const MACS = "020000000002020000000001";
const LINE_MACS = "02:00:00:00:00:01 > 02:00:00:00:00:02";

function line(hex: string, options: { length?: number; comment?: string } = {}): string {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const time = 1_700_000_000_123_456_789n;
  const { length = bytes.length, comment = "" } = options;
  const text = frameLine(frameText({ interface: 0, time, bytes, length, direction: "out", comment }));
  assert.match(text, /^\d\d:\d\d:\d\d\.123456 out /);
  return text.slice("00:00:00.123456 out ".length);
}

test("a frame is one line with MACs, protocol, addresses and length", () => {
  const ipv4 = (protocol: string, rest: string, fragment = "4000") =>
    `${MACS}0800 450000280000${fragment}40${protocol}0000 0a200001 0a200002 ${rest}`;
  assert.equal(
    line(ipv4("06", "04d2005000000000000000005012ffff00000000")),
    `${LINE_MACS} TCP 10.32.0.1:1234 > 10.32.0.2:80 54 bytes (S.)`,
  );
  assert.equal(line(ipv4("11", "04d2003500080000")), `${LINE_MACS} UDP 10.32.0.1:1234 > 10.32.0.2:53 42 bytes`);
  assert.equal(line(ipv4("01", "0800")), `${LINE_MACS} ICMP 10.32.0.1 > 10.32.0.2 36 bytes (echo request)`);
  assert.equal(line(ipv4("2f", "0000")), `${LINE_MACS} IP protocol 47 10.32.0.1 > 10.32.0.2 36 bytes`);
  assert.equal(line(ipv4("06", "1234", "2001")), `${LINE_MACS} TCP 10.32.0.1 > 10.32.0.2 36 bytes (fragment)`);
  assert.equal(
    line(`${MACS}0806 0001080006040001 020000000001 0a200001 000000000000 0a200002`),
    `${LINE_MACS} ARP 10.32.0.1 > 10.32.0.2 42 bytes (request)`,
  );
  const ends = "fe800000000000000000000000000001 ff020000000000000000000000000002";
  assert.equal(
    line(`${MACS}86dd 6000000000081140 ${ends} 0035003500080000`),
    `${LINE_MACS} UDP [fe80::1]:53 > [ff02::2]:53 62 bytes`,
  );
  assert.equal(
    line(`${MACS}86dd 6000000000100000 ${ends} 3a00000000000000 87000000`),
    `${LINE_MACS} ICMPv6 fe80::1 > ff02::2 66 bytes (type 135)`,
  );
});

test("what is special about a frame is in parentheses", () => {
  assert.equal(line(`${MACS}8100 2007 88b5 00`), `${LINE_MACS} 0x88b5 19 bytes (vlan 7)`);
  assert.equal(
    line(`${MACS}88b5 00`, { length: 1_500, comment: "to all hosts" }),
    `${LINE_MACS} 0x88b5 1500 bytes (cut at 15, to all hosts)`,
  );
  assert.equal(line("0200"), "? > ? ? 2 bytes (too short)");
});

test("any bytes are a line of printable characters", () => {
  const start = fc.constantFrom("0800", "86dd", "0806", "8100", "88a80001 8100");
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 120 }), (type, rest) => {
      const text = line(`${MACS}${type}${Buffer.from(rest).toString("hex")}`);
      assert.match(text, /^[ -~]+$/);
    }),
  );
});
