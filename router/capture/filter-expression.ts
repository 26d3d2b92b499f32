import { type Cidr, parseCidr } from "#src/address.js";
import { WeaveError } from "#src/errors.js";
import { ETHERTYPE, PROTOCOL } from "#src/net/frame-headers.js";

/** A filter as a tree. Addresses and masks are numbers of 32 bits. */
export type FilterExpression =
  | { readonly kind: "and" | "or"; readonly left: FilterExpression; readonly right: FilterExpression }
  | { readonly kind: "not"; readonly of: FilterExpression }
  /** IPv4 packets from or to addresses, and ARP about them. */
  | { readonly kind: "net"; readonly address: number; readonly mask: number }
  /** TCP and UDP from or to a port. */
  | { readonly kind: "port"; readonly port: number }
  /** A protocol in IPv4, in IPv6, or in either. */
  | { readonly kind: "protocol"; readonly protocol: number; readonly ipv4: boolean; readonly ipv6: boolean }
  | { readonly kind: "ethertype"; readonly ethertype: number };

/** Maximum characters of a filter: the program that the kernel runs for each frame is short, too. */
const MAX_TEXT = 512;
const FORMS = "host ADDRESS, net ADDRESS/LENGTH, port NUMBER, tcp, udp, icmp, icmp6, arp, ip, ip6, and, or, not, ( )";

const WORDS: Readonly<Record<string, FilterExpression>> = {
  tcp: { kind: "protocol", protocol: PROTOCOL.tcp, ipv4: true, ipv6: true },
  udp: { kind: "protocol", protocol: PROTOCOL.udp, ipv4: true, ipv6: true },
  icmp: { kind: "protocol", protocol: PROTOCOL.icmp, ipv4: true, ipv6: false },
  icmp6: { kind: "protocol", protocol: PROTOCOL.icmp6, ipv4: false, ipv6: true },
  arp: { kind: "ethertype", ethertype: ETHERTYPE.arp },
  ip: { kind: "ethertype", ethertype: ETHERTYPE.ipv4 },
  ip6: { kind: "ethertype", ethertype: ETHERTYPE.ipv6 },
};

/**
 * Parses a filter: a part of the language of pcap-filter(7), with the same meaning. `and` and `or` side by side take parentheses: readers
 * disagree about what they mean without.
 *
 * @returns undefined for a text without words: all frames
 * @throws WEAVE_CAPTURE
 */
export function parseFilter(text: string): FilterExpression | undefined {
  if (text.length > MAX_TEXT) throw invalid(`it has more than ${MAX_TEXT} characters`);
  const words = text.match(/[()]|[^\s()]+/g) ?? [];
  if (words.length === 0) return undefined;
  const parser = new Parser(words);
  const expression = parser.any();
  if (parser.next !== undefined) throw invalid(`${shown(parser.next)} cannot be there`);
  return expression;
}

class Parser {
  readonly #words: readonly string[];
  #at = 0;

  constructor(words: readonly string[]) {
    this.#words = words;
  }

  get next(): string | undefined {
    return this.#words[this.#at];
  }

  /** One term, or several that are joined by one word. */
  any(): FilterExpression {
    let left = this.#term();
    const joint = this.next;
    while (this.next === "and" || this.next === "or") {
      if (this.next !== joint) throw invalid("'and' beside 'or' needs parentheses: a and (b or c)");
      const kind = this.next;
      this.#at++;
      left = { kind, left, right: this.#term() };
    }
    return left;
  }

  #term(): FilterExpression {
    const word = this.#take("a term");
    if (word === "not") return { kind: "not", of: this.#term() };
    if (word === "(") {
      const inside = this.any();
      if (this.#take(")") !== ")") throw invalid("a parenthesis is not closed");
      return inside;
    }
    if (word === "host") return netOf(`${this.#take("an address after 'host'")}/32`, "host");
    if (word === "net") return netOf(this.#take("a network after 'net'"), "net");
    if (word === "port") return this.#port();
    if (!Object.hasOwn(WORDS, word)) throw invalid(`${shown(word)} is not one of its words`);
    // As in `tcp port 80`.
    if ((word !== "tcp" && word !== "udp") || this.next !== "port") return WORDS[word];
    this.#at++;
    return { kind: "and", left: WORDS[word], right: this.#port() };
  }

  #port(): FilterExpression {
    const text = this.#take("a number after 'port'");
    const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
    if (!(port >= 1 && port <= 65_535)) throw invalid(`${shown(text)} is no port: it must be a number from 1 to 65535`);
    return { kind: "port", port };
  }

  #take(wanted: string): string {
    const word = this.next;
    if (word === undefined) throw invalid(`it ends where ${wanted === ")" ? "a parenthesis closes" : wanted} belongs`);
    this.#at++;
    return word;
  }
}

function netOf(text: string, word: "host" | "net"): FilterExpression {
  const { address, prefix, subnet } = cidrOf(text, word);
  const [network] = subnet.split("/");
  if (network !== address) throw invalid(`${shown(text)} is an address in a network; the network is ${subnet}`);
  const mask = prefix === 0 ? 0 : (~0 << (32 - prefix)) >>> 0;
  return { kind: "net", address: network.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0), mask };
}

function cidrOf(text: string, word: "host" | "net"): Cidr {
  try {
    return parseCidr(text);
  } catch {
    throw word === "host"
      ? invalid(`${shown(text.replace(/\/32$/, ""))} is not an IPv4 address, such as 10.32.0.1`)
      : invalid(`${shown(text)} is not a network, such as 10.32.0.0/12`);
  }
}

const shown = (word: string): string => JSON.stringify(word.slice(0, 40));

/** The error for a filter that is not valid. */
export const invalid = (why: string): WeaveError =>
  new WeaveError("WEAVE_CAPTURE", `the filter is not valid: ${why}`, { next: `Its words are ${FORMS}.` });
