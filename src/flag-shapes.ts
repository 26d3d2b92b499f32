import { isAbsolute, resolve } from "node:path";
import { parseCidr } from "#src/address.js";
import { ADDRESS_TITLE, isAddress } from "#src/net/family.js";
import { ipv6Reason, isHost, parseHostPort } from "#src/net/host-port.js";
import { MAX_SOCKET_PATH_BYTES } from "#src/paths.js";
import { accepts, type Shape, text } from "#src/shape.js";

/** Longest path in bytes: PATH_MAX of Linux without its final zero. */
const MAX_PATH_BYTES = 4_095;

const isPath = (given: string, limit: number): boolean =>
  isAbsolute(given) && !given.includes("\0") && Buffer.byteLength(given) <= limit;

/** The same shape, with a listing of its values. */
const listed = (kind: "file" | "interface", shape: Shape<string>): Shape<string> => ({ ...shape, listing: { kind } });

export const absolutePath = listed(
  "file",
  text("an absolute path", (given) => isPath(given, MAX_PATH_BYTES)),
);

/** The path of a file. A relative one is resolved against the working directory of the command. */
export const filePath = listed(
  "file",
  text(
    "the path of a file",
    (given) => isPath(given, MAX_PATH_BYTES),
    (given) => (given === "" ? "" : resolve(given)),
  ),
);

export const socketPath = listed(
  "file",
  text(`the absolute path of a Unix socket, at most ${MAX_SOCKET_PATH_BYTES} bytes`, (given) =>
    isPath(given, MAX_SOCKET_PATH_BYTES),
  ),
);

/** The address that a server listens on. */
export const listenAddress = text(
  "[host]:port with a port from 1 to 65535, or the absolute path of a Unix socket",
  (given) => {
    if (given.startsWith("/")) return isPath(given, MAX_SOCKET_PATH_BYTES);
    const where = parseHostPort(given);
    if (where === undefined) throw new Error(ipv6Reason(given));
    return where.port !== undefined && (where.host === "" || isHost(where.host));
  },
);

/** An address of this host or another. */
export const hostAddress = text(ADDRESS_TITLE, isAddress);

export const cidr = text("an IPv4 network such as 10.0.0.0/8", accepts(parseCidr));

/** The name of a network interface. @param longest maximum number of characters: 15 on Linux, fewer where names are derived from it */
export const interfaceName = (longest: number): Shape<string> =>
  listed(
    "interface",
    text(
      `the name of an interface: a letter, then letters, digits, "_", "." or "-", at most ${longest} characters`,
      (given) => new RegExp(`^[A-Za-z][\\w.-]{0,${longest - 1}}$`).test(given),
    ),
  );
