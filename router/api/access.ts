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

/** For Unix sockets: the mode of the file decides who connects. */
export const fullAccess: Access = () => undefined;

/**
 * For TCP, where every local user and every container in the host's network connects.
 *
 * @param options.address `host:port` as the user typed it: its host may be a name, which clients may then use
 * @param options.token the token of clients that may change something; undefined: any client may
 * @param options.run folder of the router's sockets, for messages
 */
export function tcpAccess({ address, token, run }: TcpAccessOptions): Access {
  const named = hostOf(address).toLowerCase();
  const names = ["localhost", hostname().toLowerCase(), named].filter((name) => name !== "");
  return (headers, changes) => {
    const host = hostOfHeader(headers.host);
    // A page whose name was made to point here (DNS rebinding) counts as its own server's to the browser: no Origin is sent.
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

/** Makes a new token, which root alone can read from {@link tokenFile}. */
export function makeToken(run: string): string {
  const token = randomBytes(TOKEN_BYTES).toString("hex");
  // Never into a file that was there: it could be open to others.
  rmSync(tokenFile(run), { force: true });
  writeFileSync(tokenFile(run), `${token}\n`, { mode: 0o600, flag: "wx" });
  return token;
}

/** Of a `Host` header (RFC 9110, 7.2), without the port and brackets; undefined without one: no browser leaves it out. */
function hostOfHeader(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(header);
  // Neither a name nor an address: no name of this server.
  return (match?.[1] ?? match?.[2] ?? header).toLowerCase();
}

function hasToken(authorization: string | undefined, token: string): boolean {
  const sent = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  const digest = (text: string) => createHash("sha256").update(text).digest();
  // Of equal length, and compared in a time that does not depend on where they differ.
  return sent !== undefined && timingSafeEqual(digest(sent), digest(token));
}

const refuse = (status: number, why: string, next: string): Answer => ({
  status,
  body: `${STATUS_CODES[status]}: ${why}\n${next}\n`,
});
