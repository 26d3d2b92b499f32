import { lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { systemCode } from "#src/errors.js";
import { makePublicFolder } from "#src/public-folder.js";

/** Who listens takes a connection at once. */
const PROBE_MS = 1_000;

/**
 * Makes a path free to listen at: its folder is made, and a socket that a crash has left is removed. What lives, or is no
 * socket, is not ours to remove.
 */
export async function freeSocketPath(path: string): Promise<"free" | "no socket" | "in use"> {
  makePublicFolder(dirname(path));
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return "free";
  if (!stat.isSocket()) return "no socket";
  if (await isServed(path)) return "in use";
  rmSync(path, { force: true });
  return "free";
}

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
