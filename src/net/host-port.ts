import { isIPv6 } from "node:net";
import { isAddress, isMalformedAddress } from "#src/net/family.js";

/** A host by name or address, and a port, as users write them. */
export interface HostPort {
  /** The name or address; "" if it was left out. */
  readonly host: string;
  readonly port: number | undefined;
}

const HIGHEST_PORT = 65_535;
/** Longest host name in characters: 255 bytes on the wire, of which two hold no character (RFC 1035, section 2.3.4). */
const LONGEST_NAME = 253;

/** Whether a text is a port from 1 to 65535. */
export const isPort = (text: string): boolean =>
  /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= HIGHEST_PORT;

/** Whether a text is an address or a host name. Text of digits and dots that is no address is no name either. */
export const isHost = (text: string): boolean =>
  isAddress(text) || (/^[\w.-]{1,253}$/.test(text) && !isMalformedAddress(text));

/**
 * Parses `host`, `host:port` or `:port`, with a port from 1 to 65535. The host is any text without spaces, colons, slashes and
 * brackets: the caller checks that it is present and valid ({@link isHost}).
 *
 * @param options.port0 whether port 0 is accepted, for which the kernel chooses a free port
 * @returns undefined for any other text; {@link ipv6Reason} explains the rejection of IPv6
 */
export function parseHostPort(text: string, { port0 = false } = {}): HostPort | undefined {
  const match = /^([^\s:/[\]]*)(?::(\d{1,5}))?$/.exec(text);
  if (match === null || match[1].length > LONGEST_NAME) return undefined;
  const [, host, port] = match;
  if (port !== undefined && !isPort(port) && !(port0 && Number(port) === 0)) return undefined;
  return { host, port: port === undefined ? undefined : Number(port) };
}

/** Explains why {@link parseHostPort} rejects an IPv6 address (RFC 3986, 3.2.2; RFC 4291, 2.2); undefined for any other text. */
export function ipv6Reason(text: string): string | undefined {
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(text);
  return bracketed !== null || isIPv6(text) ? "IPv6 addresses are not supported yet" : undefined;
}

/** Formats a host and a port: `host:port`, or `[host]:port` for an address with colons (RFC 3986, 3.2.2). */
export function hostPortText(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Returns the host of {@link hostPortText}. */
export function hostOf(text: string): string {
  const host = text.slice(0, text.lastIndexOf(":"));
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}

/** Returns the port of {@link hostPortText}. */
export function portOf(text: string): number {
  return Number(text.slice(text.lastIndexOf(":") + 1));
}
