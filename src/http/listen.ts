import { chmodSync, lstatSync, rmSync, type Stats } from "node:fs";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { type ErrorCode, systemCode, WeaveError } from "#src/errors.js";
import { ANY_HOST } from "#src/net/endpoint.js";
import { ipv6Reason, parseHostPort } from "#src/net/host-port.js";
import { makePublicFolder } from "#src/public-folder.js";

/** Where a server listens, or is reached: a Unix socket, or TCP. */
export type ServerAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** A server that lives accepts a connection at once. */
const PROBE_MS = 1_000;
/** `sun_path` of unix(7), without its final zero. */
const MAX_PATH_BYTES = 107;

export interface ListenOptions {
  /** For messages: "the control API". */
  readonly name: string;
  /** For messages: how the user chooses another address. */
  readonly remedy: string;
  /** Of the socket's file. Undefined: as the umask has it. */
  readonly mode?: number;
  /** Connections that wait to be accepted. */
  readonly backlog?: number;
  /** Of every error thrown; WEAVE_PORT_IN_USE for an address in use and WEAVE_API for others, if left out. */
  readonly code?: ErrorCode;
  /** An abandoned socket of any user is replaced: the caller changes the owner of its sockets. */
  readonly anyOwner?: boolean;
}

/** As users give it: `host:port`, or a path. */
export const serverAddressText = (address: ServerAddress): string =>
  "path" in address ? address.path : `${address.host}:${address.port}`;

/**
 * Reads `host:port`, or the absolute path of a Unix socket. Without a host: all addresses.
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
 * Listens. A Unix socket's folder is made, for all users to enter, and a socket that a crash has left at the path is replaced. A
 * socket that is served, another user's, and anything that is no socket stay as they are.
 *
 * @throws WEAVE_PORT_IN_USE, WEAVE_API, or {@link ListenOptions.code}; then it does not listen
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
    const taken = await clearPath(address.path, anyOwner);
    if (taken !== undefined) throw fail(taken.why, taken.served, taken.next);
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

/** Why a path cannot be listened at. */
interface Taken {
  readonly why: string;
  /** By a process that is alive. */
  readonly served: boolean;
  readonly next: string;
}

/** Makes a path free for a socket; undefined when it is. */
async function clearPath(path: string, anyOwner: boolean): Promise<Taken | undefined> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    return { why: `the path of a socket has at most ${MAX_PATH_BYTES} bytes`, served: false, next: "" };
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

function kindOf(stat: Stats): string {
  if (stat.isDirectory()) return "a folder";
  if (stat.isSymbolicLink()) return "a symbolic link";
  return stat.isFile() ? "a file" : "a device or a pipe";
}

/** Only a refused connection shows that no process serves a socket: one that is busy, or not ours to connect to, may live. */
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
