import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { STATUS_CODES } from "node:http";
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { Access } from "#router/api/http.js";
import type { Answer } from "#router/route.js";
import { hostOf } from "#src/net/host-port.js";
import { controlSocket, tokenFile } from "#src/paths.js";

const TOKEN_BYTES = 32;

/** Full access, for Unix sockets: the mode of the socket file controls who can connect. */
export const fullAccess: Access = () => undefined;

/**
 * Access over TCP, where every local user and every container in the host's network can connect.
 *
 * @param options.address `host:port` as the user typed it; if its host is a name, clients may use this name
 * @param options.token token that is required for changes; undefined: any client may change everything
 * @param options.run folder of the router's sockets, for messages
 */
export function tcpAccess({ address, token, run }: TcpAccessOptions): Access {
  const named = hostOf(address).toLowerCase();
  const names = ["localhost", hostname().toLowerCase(), named].filter((name) => name !== "");
  return (headers, changes) => {
    const host = hostOfHeader(headers.host);
    // DNS rebinding: a web page whose name resolves to this host is same-origin for the browser, so it sends no Origin.
    if (host !== undefined && isIP(host) === 0 && !names.includes(host)) {
      return refuse(
        421,
        `this server is not called ${JSON.stringify(host.slice(0, 64))}`,
        `Use its IP address, or 'localhost' on the host itself; or launch with the name in the address to listen at.`,
      );
    }
    if (!changes || token === undefined || hasToken(headers.authorization, token)) return undefined;
    return refuse(
      403,
      "the control API is read-only over TCP for clients without its token",
      `As root use the Unix socket ${controlSocket(run)}, or send 'Authorization: Bearer' and the contents of ${tokenFile(run)}; 'weave launch --insecure-http' lets any client change everything.`,
    );
  };
}

export interface TcpAccessOptions {
  readonly address: string;
  readonly token: string | undefined;
  readonly run: string;
}

/** Makes a new token, and writes it to {@link tokenFile}, which only root can read. */
export function makeToken(run: string): string {
  const token = randomBytes(TOKEN_BYTES).toString("hex");
  // An existing file could be readable by others, so it is replaced.
  rmSync(tokenFile(run), { force: true });
  writeFileSync(tokenFile(run), `${token}\n`, { mode: 0o600, flag: "wx" });
  return token;
}

/** The host of a `Host` header (RFC 9110, 7.2), without port and brackets; undefined without one. Browsers always send one. */
function hostOfHeader(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(header);
  // A malformed header is returned whole: it equals no name of this server.
  return (match?.[1] ?? match?.[2] ?? header).toLowerCase();
}

function hasToken(authorization: string | undefined, token: string): boolean {
  const sent = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  const digest = (text: string) => createHash("sha256").update(text).digest();
  // Digests have equal length. The comparison takes constant time.
  return sent !== undefined && timingSafeEqual(digest(sent), digest(token));
}

const refuse = (status: number, why: string, next: string): Answer => ({
  status,
  body: `${STATUS_CODES[status]}: ${why}\n${next}\n`,
});
