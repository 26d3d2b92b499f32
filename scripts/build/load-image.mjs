/** load-image.mjs FILE: gives an image to the engine of DOCKER_HOST, or of this machine. Ends with status 3 where none answers. */
import { createReadStream } from "node:fs";
import { request } from "node:http";

const address = process.env.DOCKER_HOST || "unix:///var/run/docker.sock";
const socketPath = /^unix:\/\/(.*)/.exec(address)?.[1];
const { hostname, port } = socketPath === undefined ? new URL(address) : {};
const to = socketPath === undefined ? { hostname, port: port || 2375 } : { socketPath };

const file = process.argv[2];
const call = request({
  ...to,
  method: "POST",
  path: "/images/load?quiet=1",
  headers: { "Content-Type": "application/x-tar" },
});
call.on("error", (error) => {
  console.error(`no engine answers at ${address}: ${error.message}`);
  process.exit(3);
});
call.on("response", async (answer) => {
  const text = (await answer.setEncoding("utf8").toArray()).join("");
  // An error after the beginning of the answer is in its text alone.
  if (answer.statusCode === 200 && !text.includes('"error"')) return;
  console.error(`the engine at ${address} does not take ${file}: ${text}`);
  process.exit(1);
});
createReadStream(file).pipe(call);
