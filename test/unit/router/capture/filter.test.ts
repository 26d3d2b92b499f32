import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type FilterExpression, parseFilter } from "#router/capture/filter-expression.js";
import { filterProgram } from "#router/capture/filter-program.js";
import { WeaveError } from "#src/errors.js";
import type { ClassicFilter } from "#src/linux/native/packet-filter.js";

/** Runs a filter as the kernel does (net/core/filter.c, ___bpf_prog_run for classic programs): a load outside of the frame drops it. */
function runFilter(program: ClassicFilter, frame: Uint8Array): number {
  let [a, x] = [0, 0];
  const load = (at: number, bytes: number): number | undefined => {
    if (at + bytes > frame.length) return undefined;
    let value = 0;
    for (let i = 0; i < bytes; i++) value = value * 256 + frame[at + i];
    return value;
  };
  const loads: Readonly<Record<number, (k: number) => number | undefined>> = {
    32: (k) => load(k, 4),
    40: (k) => load(k, 2),
    48: (k) => load(k, 1),
    72: (k) => load(x + k, 2),
  };
  for (let at = 0; at < program.length; at++) {
    const [code, jt, jf, k] = program[at];
    if (loads[code] !== undefined) {
      const value = loads[code](k);
      if (value === undefined) return 0;
      a = value;
    } else if (code === 0xb1) {
      const value = load(k, 1);
      if (value === undefined) return 0;
      x = (value & 15) * 4;
    } else if (code === 0x54) a = (a & k) >>> 0;
    else if (code === 0x15) at += a === k ? jt : jf;
    else if (code === 0x45) at += (a & k) !== 0 ? jt : jf;
    else if (code === 0x06) return k;
    else throw new Error(`unknown instruction ${code}`);
  }
  throw new Error("the program does not end");
}

/** A frame by its fields, with which {@link matches} decides. */
interface Fields {
  readonly kind: "ipv4" | "ipv6" | "arp" | "other";
  readonly protocol: number;
  readonly source: number;
  readonly target: number;
  readonly ports: readonly [number, number];
  readonly laterFragment: boolean;
  readonly optionWords: number;
}

const ETHERTYPES = { ipv4: 0x0800, ipv6: 0x86dd, arp: 0x0806, other: 0x88b5 };

function frameOf({ kind, protocol, source, target, ports, laterFragment, optionWords }: Fields): Uint8Array {
  const frame = Buffer.alloc(14 + 40 + 4 * optionWords + 40);
  frame.writeUInt16BE(ETHERTYPES[kind], 12);
  const transport = 14 + (kind === "ipv6" ? 40 : 20 + 4 * optionWords);
  if (kind === "ipv4") {
    frame[14] = 0x40 | (5 + optionWords);
    frame.writeUInt16BE(laterFragment ? 100 : 0x4000, 20);
    frame[23] = protocol;
    frame.writeUInt32BE(source, 26);
    frame.writeUInt32BE(target, 30);
  } else if (kind === "ipv6") frame[20] = protocol;
  else if (kind === "arp") {
    frame.writeUInt32BE(source, 28);
    frame.writeUInt32BE(target, 38);
  }
  if (kind === "ipv4" || kind === "ipv6") {
    frame.writeUInt16BE(ports[0], transport);
    frame.writeUInt16BE(ports[1], transport + 2);
  }
  return frame;
}

function matches(expression: FilterExpression, fields: Fields): boolean {
  const { kind, protocol, source, target, ports, laterFragment } = fields;
  switch (expression.kind) {
    case "and":
      return matches(expression.left, fields) && matches(expression.right, fields);
    case "or":
      return matches(expression.left, fields) || matches(expression.right, fields);
    case "not":
      return !matches(expression.of, fields);
    case "net": {
      const { mask, address } = expression;
      return (kind === "ipv4" || kind === "arp") && [source, target].some((each) => (each & mask) >>> 0 === address);
    }
    case "port": {
      const hasPorts = (kind === "ipv4" && !laterFragment) || kind === "ipv6";
      return hasPorts && (protocol === 6 || protocol === 17) && ports.includes(expression.port);
    }
    case "protocol":
      return (
        ((expression.ipv4 && kind === "ipv4") || (expression.ipv6 && kind === "ipv6")) &&
        protocol === expression.protocol
      );
    case "ethertype":
      return ETHERTYPES[kind] === expression.ethertype;
  }
}

const fields: fc.Arbitrary<Fields> = fc.record({
  kind: fc.constantFrom("ipv4", "ipv6", "arp", "other"),
  protocol: fc.constantFrom(1, 6, 17, 58, 132),
  source: fc.constantFrom(0x0a20_0001, 0x0a20_0002, 0xc0a8_0001),
  target: fc.constantFrom(0x0a20_0001, 0x0a20_0002, 0xffff_ffff),
  ports: fc.tuple(fc.constantFrom(80, 443, 53), fc.constantFrom(80, 50_000, 53)),
  laterFragment: fc.boolean(),
  optionWords: fc.nat(10),
});

const TERMS = ["tcp", "udp", "icmp", "icmp6", "arp", "ip", "ip6", "port 80", "port 53", "tcp port 80", "udp port 53"];
const ADDRESSES = ["host 10.32.0.1", "host 192.168.0.1", "net 10.32.0.0/12", "net 0.0.0.0/0", "net 10.32.0.2/31"];
const { filter } = fc.letrec<{ filter: string }>((tie) => ({
  filter: fc.oneof(
    { depthSize: "small", withCrossShrink: true, maxDepth: 3 },
    fc.constantFrom(...TERMS, ...ADDRESSES),
    tie("filter").map((of) => `not (${of})`),
    fc.tuple(tie("filter"), fc.constantFrom("and", "or"), tie("filter")).map(([a, word, b]) => `(${a}) ${word} (${b})`),
  ),
}));

test("the kernel's program keeps the frames that a filter means", () => {
  fc.assert(
    fc.property(filter, fc.array(fields, { minLength: 1, maxLength: 10 }), (text, frames) => {
      const expression = parseFilter(text)!;
      const program = filterProgram(expression, 96);
      for (const each of frames)
        assert.equal(runFilter(program, frameOf(each)), matches(expression, each) ? 96 : 0, JSON.stringify(each));
    }),
    { numRuns: 1_000 },
  );
});

test("without words all frames are kept, and 'and' and 'or' join what is beside them", () => {
  assert.deepEqual(filterProgram(parseFilter("  "), 70_000), [[0x06, 0, 0, 70_000]]);
  assert.deepEqual(parseFilter("tcp port 80"), parseFilter("tcp and port 80"));
  assert.deepEqual(parseFilter("not arp and icmp"), parseFilter("(not arp) and icmp"));
  assert.deepEqual(parseFilter("arp or icmp or udp"), parseFilter("(arp or icmp) or udp"));
  assert.deepEqual(parseFilter("host 10.32.0.1"), parseFilter("net 10.32.0.1/32"));
});

test("a filter that is not valid is refused with its reason", () => {
  const refused: Readonly<Record<string, RegExp>> = {
    "tcp and": /ends where a term belongs/,
    "(tcp": /ends where a parenthesis closes/,
    "(tcp udp": /a parenthesis is not closed/,
    "tcp)": /"\)" cannot be there/,
    "tcp udp": /"udp" cannot be there/,
    "arp and tcp or udp": /needs parentheses/,
    constructor: /"constructor" is not one of its words/,
    "src host 10.0.0.1": /"src" is not one/,
    "host web": /"web" is not an IPv4 address/,
    "host ::1": /is not an IPv4 address/,
    "net 10.32.0.1": /is not a network/,
    "net 10.32.0.1/12": /the network is 10\.32\.0\.0\/12/,
    "port 0": /no port/,
    "port 65536": /no port/,
    "port 80x": /no port/,
    [`${"arp or ".repeat(80)}tcp`]: /more than 512 characters/,
    [Array.from({ length: 40 }, () => "port 1").join(" or ")]: /too many terms/,
  };
  for (const [text, reason] of Object.entries(refused))
    assert.throws(
      () => filterProgram(parseFilter(text), 1),
      (error) => error instanceof WeaveError && error.code === "WEAVE_CAPTURE" && reason.test(error.message),
      text,
    );
});

test("any text is a filter or an error of its own", () => {
  const words = fc.constantFrom("tcp", "not", "and", "or", "(", ")", "port", "80", "host", "10.0.0.1", "net", "x");
  fc.assert(
    fc.property(fc.array(words, { maxLength: 30 }), (text) => {
      try {
        filterProgram(parseFilter(text.join(" ")), 1);
      } catch (error) {
        assert.ok(error instanceof WeaveError && error.code === "WEAVE_CAPTURE", String(error));
      }
    }),
  );
});
