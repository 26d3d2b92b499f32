import { type FilterExpression, invalid } from "#router/capture/filter-expression.js";
import {
  AND,
  type ClassicFilter,
  IF_BITS,
  IF_EQUAL,
  INDEX_IP_HEADER,
  KEEP,
  LOAD_BYTE,
  LOAD_HALF,
  LOAD_HALF_AT_INDEX,
  LOAD_WORD,
} from "#src/linux/native/packet-filter.js";
import { ETHERTYPE, PROTOCOL } from "#src/net/frame-headers.js";

// Offsets in a frame. The kernel keeps a VLAN tag elsewhere while it runs the filter.
const ETHERTYPE_AT = 12;
const NETWORK_AT = 14;
const IPV4 = { fragment: NETWORK_AT + 6, protocol: NETWORK_AT + 9, source: NETWORK_AT + 12, target: NETWORK_AT + 16 };
const ARP = { source: NETWORK_AT + 14, target: NETWORK_AT + 24 };
const IPV6 = { protocol: NETWORK_AT + 6, transport: NETWORK_AT + 40 };
const FRAGMENT_OFFSET = 0x1fff;
/** The kernel's jumps have 8 bits. */
const LONGEST_JUMP = 255;

/** A place in the program that jumps lead to. */
class Label {
  at = -1;
}

type Step = { readonly code: number; readonly k: number; readonly ifTrue?: Label; readonly ifFalse?: Label };

/**
 * Makes the program that the kernel runs for each frame, before it copies any of it. A frame that is too short for a test is not kept, as
 * in every program of this kind.
 *
 * @param expression undefined: all frames
 * @param snapLength bytes that are kept of a frame
 * @throws WEAVE_CAPTURE when the program is too long
 */
export function filterProgram(expression: FilterExpression | undefined, snapLength: number): ClassicFilter {
  if (expression === undefined) return [[KEEP, 0, 0, snapLength]];
  const compiler = new Compiler();
  const [keep, drop] = [new Label(), new Label()];
  compiler.test(expression, keep, drop);
  compiler.place(keep);
  compiler.step(KEEP, snapLength);
  compiler.place(drop);
  compiler.step(KEEP, 0);
  return compiler.steps.map(({ code, k, ifTrue, ifFalse }, index) => {
    const [jt, jf] = [ifTrue, ifFalse].map((label) => (label === undefined ? 0 : label.at - index - 1));
    if (jt > LONGEST_JUMP || jf > LONGEST_JUMP) throw invalid("it has too many terms");
    return [code, jt, jf, k];
  });
}

class Compiler {
  readonly steps: Step[] = [];

  step(code: number, k: number): void {
    this.steps.push({ code, k });
  }

  /** A comparison; a missing label is the next step. */
  jump(code: number, k: number, ifTrue?: Label, ifFalse?: Label): void {
    this.steps.push({ code, k, ifTrue, ifFalse });
  }

  place(label: Label): void {
    label.at = this.steps.length;
  }

  /** Adds the steps that lead to `yes` for frames that match, and to `no` for others. */
  test(expression: FilterExpression, yes: Label, no: Label): void {
    switch (expression.kind) {
      case "and":
      case "or": {
        const second = new Label();
        const isAnd = expression.kind === "and";
        this.test(expression.left, isAnd ? second : yes, isAnd ? no : second);
        this.place(second);
        return this.test(expression.right, yes, no);
      }
      case "not":
        return this.test(expression.of, no, yes);
      case "net":
        return this.#net(expression.address, expression.mask, yes, no);
      case "port":
        return this.#port(expression.port, yes, no);
      case "protocol":
        return this.#protocol(expression, yes, no);
      case "ethertype":
        this.step(LOAD_HALF, ETHERTYPE_AT);
        return this.jump(IF_EQUAL, expression.ethertype, yes, no);
    }
  }

  #net(address: number, mask: number, yes: Label, no: Label): void {
    const [notIp, arp] = [new Label(), new Label()];
    this.step(LOAD_HALF, ETHERTYPE_AT);
    this.jump(IF_EQUAL, ETHERTYPE.ipv4, undefined, notIp);
    const either = (source: number, target: number) => {
      this.step(LOAD_WORD, source);
      this.step(AND, mask);
      this.jump(IF_EQUAL, address, yes);
      this.step(LOAD_WORD, target);
      this.step(AND, mask);
      this.jump(IF_EQUAL, address, yes, no);
    };
    either(IPV4.source, IPV4.target);
    this.place(notIp);
    this.jump(IF_EQUAL, ETHERTYPE.arp, arp, no);
    this.place(arp);
    either(ARP.source, ARP.target);
  }

  #port(port: number, yes: Label, no: Label): void {
    const [notIpv4, ports] = [new Label(), new Label()];
    this.step(LOAD_HALF, ETHERTYPE_AT);
    this.jump(IF_EQUAL, ETHERTYPE.ipv4, undefined, notIpv4);
    this.step(LOAD_BYTE, IPV4.protocol);
    this.jump(IF_EQUAL, PROTOCOL.tcp, ports);
    this.jump(IF_EQUAL, PROTOCOL.udp, ports, no);
    this.place(ports);
    this.step(LOAD_HALF, IPV4.fragment);
    this.jump(IF_BITS, FRAGMENT_OFFSET, no);
    this.step(INDEX_IP_HEADER, NETWORK_AT);
    this.step(LOAD_HALF_AT_INDEX, NETWORK_AT);
    this.jump(IF_EQUAL, port, yes);
    this.step(LOAD_HALF_AT_INDEX, NETWORK_AT + 2);
    this.jump(IF_EQUAL, port, yes, no);
    this.place(notIpv4);
    const ports6 = new Label();
    this.jump(IF_EQUAL, ETHERTYPE.ipv6, undefined, no);
    this.step(LOAD_BYTE, IPV6.protocol);
    this.jump(IF_EQUAL, PROTOCOL.tcp, ports6);
    this.jump(IF_EQUAL, PROTOCOL.udp, ports6, no);
    this.place(ports6);
    this.step(LOAD_HALF, IPV6.transport);
    this.jump(IF_EQUAL, port, yes);
    this.step(LOAD_HALF, IPV6.transport + 2);
    this.jump(IF_EQUAL, port, yes, no);
  }

  #protocol({ protocol, ipv4, ipv6 }: Extract<FilterExpression, { kind: "protocol" }>, yes: Label, no: Label): void {
    const notIpv4 = new Label();
    this.step(LOAD_HALF, ETHERTYPE_AT);
    if (ipv4) {
      this.jump(IF_EQUAL, ETHERTYPE.ipv4, undefined, ipv6 ? notIpv4 : no);
      this.step(LOAD_BYTE, IPV4.protocol);
      this.jump(IF_EQUAL, protocol, yes, no);
    }
    this.place(notIpv4);
    if (!ipv6) return;
    this.jump(IF_EQUAL, ETHERTYPE.ipv6, undefined, no);
    this.step(LOAD_BYTE, IPV6.protocol);
    this.jump(IF_EQUAL, protocol, yes, no);
  }
}
