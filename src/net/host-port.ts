import { isIPv4, isIPv6 } from "node:net";

/** A host by name or address, and a port, as users write them. */
export interface HostPort {
  /** "" where it was left out. */
  readonly host: string;
  readonly port: number | undefined;
}

const HIGHEST_PORT = 65_535;
/** RFC 1035 section 2.3.4: 255 bytes with the length of the first label and the root. */
const LONGEST_NAME = 253;

/** Whether a text is a port from 1 to 65535. */
export const isPort = (text: string): boolean =>
  /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= HIGHEST_PORT;

/** Whether a text is a host by address or name. Digits and dots that are not an address are neither. */
export const isHost = (text: string): boolean =>
  isIPv4(text) || (/^[\w.-]{1,253}$/.test(text) && !/^[\d.]+$/.test(text));

/**
 * Reads `host`, `host:port` or `:port`, with a port from 1 to 65535. The host is any text without spaces, colons, slashes and
 * brackets: the caller checks whether it is there, and whether it may be a name ({@link isHost}).
 *
 * @param options.port0 accept port 0, for which the kernel chooses one
 * @returns undefined for any other text; {@link ipv6Reason} explains the rejection of IPv6
 */
export function parseHostPort(text: string, { port0 = false } = {}): HostPort | undefined {
  const match = /^([^\s:/[\]]*)(?::(\d{1,5}))?$/.exec(text);
  if (match === null || match[1].length > LONGEST_NAME) return undefined;
  const [, host, port] = match;
  if (port !== undefined && !isPort(port) && !(port0 && Number(port) === 0)) return undefined;
  return { host, port: port === undefined ? undefined : Number(port) };
}

/** Why {@link parseHostPort} rejects a text in the form of IPv6 (RFC 3986, 3.2.2; RFC 4291, 2.2); else undefined. */
export function ipv6Reason(text: string): string | undefined {
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(text);
  return bracketed !== null || isIPv6(text) ? "IPv6 addresses are not supported yet" : undefined;
}

/** The host of `host:port`, as this project prints it. */
export function hostOf(text: string): string {
  return text.slice(0, text.lastIndexOf(":"));
}

/** The port of `host:port`, as this project prints it. */
export function portOf(text: string): number {
  return Number(text.slice(text.lastIndexOf(":") + 1));
}
