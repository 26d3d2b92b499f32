import { isAbsolute, resolve } from "node:path";
import { isIpv4, parseCidr } from "#src/address.js";
import { ipv6Reason, isHost, parseHostPort } from "#src/net/host-port.js";
import { accepts, type Shape, text } from "#src/shape.js";

/** Linux: bytes of a path, and of a Unix socket's (sun_path, with its end). */
const MAX_PATH = 4_095;
const MAX_SOCKET_PATH = 107;

const isPath = (given: string, limit: number): boolean =>
  isAbsolute(given) && !given.includes("\0") && Buffer.byteLength(given) <= limit;

export const absolutePath = text("an absolute path", (given) => isPath(given, MAX_PATH));

/** The path of a file, relative to the working directory of the command or absolute; the value is absolute. */
export const filePath = text(
  "the path of a file",
  (given) => isPath(given, MAX_PATH),
  (given) => (given === "" ? "" : resolve(given)),
);

export const socketPath = text(`the absolute path of a Unix socket, at most ${MAX_SOCKET_PATH} bytes`, (given) =>
  isPath(given, MAX_SOCKET_PATH),
);

/** Where a server listens. */
export const listenAddress = text(
  "[host]:port with a port from 1 to 65535, or the absolute path of a Unix socket",
  (given) => {
    if (given.startsWith("/")) return isPath(given, MAX_SOCKET_PATH);
    const where = parseHostPort(given);
    if (where === undefined) throw new Error(ipv6Reason(given));
    return where.port !== undefined && (where.host === "" || isHost(where.host));
  },
);

export const ipv4Address = text("an IPv4 address", isIpv4);

export const cidr = text("an IPv4 network such as 10.0.0.0/8", accepts(parseCidr));

/** Linux: 15 characters of an interface's name. @param longest fewer, where names are derived from it */
export const interfaceName = (longest: number): Shape<string> =>
  text(
    `the name of an interface: a letter, then letters, digits, "_", "." or "-", at most ${longest} characters`,
    (given) => new RegExp(`^[A-Za-z][\\w.-]{0,${longest - 1}}$`).test(given),
  );
