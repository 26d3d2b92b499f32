import { chmodSync, lstatSync, rmSync, type Stats } from "node:fs";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { type ErrorCode, systemCode, WeaveError } from "#src/errors.js";
import { ANY_HOST } from "#src/net/family.js";
import { hostPortText, ipv6Reason, parseHostPort } from "#src/net/host-port.js";
import { MAX_SOCKET_PATH_BYTES } from "#src/paths.js";
import { makePublicFolder } from "#src/public-folder.js";

/** The address of a server: the path of a Unix socket, or host and port of TCP. */
export type ServerAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** Limit for the probe of a socket. A probe that takes longer counts as served: its process may be busy. */
const PROBE_MS = 1_000;

export interface ListenOptions {
  /** The server's name in messages: "the control API". */
  readonly name: string;
  /** For messages: a sentence that explains how to choose another address. */
  readonly remedy: string;
  /** Mode of the socket file; undefined: the umask decides. */
  readonly mode?: number;
  /** Maximum number of connections that wait to be accepted. */
  readonly backlog?: number;
  /** Code of all errors; if left out, WEAVE_PORT_IN_USE for an address in use, and WEAVE_API for other errors. */
  readonly code?: ErrorCode;
  /** Whether abandoned sockets of other users are replaced, for a caller that changes the owner of its sockets. */
  readonly anyOwner?: boolean;
}

/** Formats an address as users type it: `host:port`, or a path. */
const serverAddressText = (address: ServerAddress): string =>
  "path" in address ? address.path : hostPortText(address.host, address.port);

/**
 * Parses `host:port`, or the absolute path of a Unix socket. Without a host, the address is {@link ANY_HOST}.
 *
 * @throws WEAVE_FLAG_INVALID
 */
export function parseServerAddress(text: string): ServerAddress {
  if (text.startsWith("/")) return { path: text };
  const { host, port } = parseHostPort(text, { port0: true }) ?? {};
  if (host !== undefined && port !== undefined) return { host: host || ANY_HOST, port };
  const reason = ipv6Reason(text);
  const why = reason === undefined ? "" : `: ${reason}`;
  throw new WeaveError("WEAVE_FLAG_INVALID", `'${text.slice(0, 200)}' is no address to listen at${why}`, {
    next: "Give host:port, such as 127.0.0.1:6784, or the absolute path of a Unix socket.",
  });
}

/**
 * Starts to listen. For a Unix socket, the folder is made, for all users to enter, and a socket left by a crash is replaced. A
 * socket in use, another user's socket, and a file that is no socket are not touched.
 *
 * @throws WEAVE_PORT_IN_USE, WEAVE_API, or {@link ListenOptions.code}; the server then does not listen
 */
export async function listen(server: Server, address: ServerAddress, options: ListenOptions): Promise<void> {
  const { name, remedy, mode, backlog, anyOwner = false } = options;
  const fail = (why: string, busy: boolean, next: string, cause?: unknown) =>
    new WeaveError(
      options.code ?? (busy ? "WEAVE_PORT_IN_USE" : "WEAVE_API"),
      `${name} cannot listen on ${serverAddressText(address)}: ${why}`,
      { cause, next: `${next}${remedy}` },
    );
  if ("path" in address) {
    const obstacle = await clearPath(address.path, anyOwner);
    if (obstacle !== undefined) throw fail(obstacle.why, obstacle.served, obstacle.next);
  }
  await new Promise<void>((resolve, reject) => {
    const onError = (error: Error) => {
      const busy = systemCode(error) === "EADDRINUSE";
      const find = `Find it with '${"path" in address ? "ss -lxp" : "ss -ltnp"}'. `;
      reject(fail(busy ? "another process uses it" : error.message, busy, busy ? find : "", error));
    };
    server.once("error", onError);
    server.listen({ ...address, ...(backlog === undefined ? {} : { backlog }) }, () => {
      server.off("error", onError);
      resolve();
    });
  });
  if ("path" in address && mode !== undefined) chmodSync(address.path, mode);
}

/** The reason why no socket can be made at a path. */
interface Obstacle {
  readonly why: string;
  /** Whether a live process serves a socket at the path. */
  readonly served: boolean;
  /** The next step; may be empty. */
  readonly next: string;
}

/** Makes room for a socket at a path. @returns undefined on success */
async function clearPath(path: string, anyOwner: boolean): Promise<Obstacle | undefined> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    return { why: `the path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes`, served: false, next: "" };
  try {
    makePublicFolder(dirname(path));
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    if (!stat.isSocket())
      return { why: `it is ${kindOf(stat)}, not a socket`, served: false, next: "Remove it if it is not needed. " };
    if (await isServed(path)) return { why: "another process uses it", served: true, next: "Find it with 'ss -lxp'. " };
    if (!anyOwner && stat.uid !== process.getuid?.())
      return { why: `it is a socket of user ${stat.uid}`, served: false, next: "Remove it if it is not needed. " };
    rmSync(path, { force: true });
    return undefined;
  } catch (error) {
    return { why: (error as Error).message, served: false, next: "" };
  }
}

/** Removes a socket that no process serves, as a killed process leaves it. Any other file stays. */
export async function removeAbandonedSocket(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isSocket() && !(await isServed(path))) rmSync(path, { force: true });
}

function kindOf(stat: Stats): string {
  if (stat.isDirectory()) return "a folder";
  if (stat.isSymbolicLink()) return "a symbolic link";
  return stat.isFile() ? "a file" : "a device or a pipe";
}

/** Whether a process may serve a socket. Only a refused connection, or a missing file, shows that none does. */
function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (served: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(served);
    };
    const timer = setTimeout(() => done(true), PROBE_MS);
    socket.on("connect", () => done(true));
    socket.on("error", (error) => done(!["ECONNREFUSED", "ENOENT"].includes(systemCode(error) ?? "")));
  });
}
