import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CNI_PROGRAMS } from "#cli/cni/programs.js";
import type { Result } from "#test/lab/namespace.js";
import { piped } from "#test/lab/piped.js";

/** The CNI plugin in a folder of its own, with a socket on which a test answers in place of the router. */
export class CniClient {
  readonly folder = mkdtempSync(join(tmpdir(), "weave-cni-"));
  readonly run = join(this.folder, "run");
  readonly plugins = join(this.folder, "bin");
  /** Start of the command: an emulator for another architecture. */
  readonly #before: readonly string[];
  #server: Server | undefined;

  /** @param program the plugin's program; by default that of this machine */
  constructor(program = Buffer.from(CNI_PROGRAMS[process.arch], "base64"), before: readonly string[] = []) {
    this.#before = before;
    mkdirSync(this.run);
    mkdirSync(this.plugins);
    writeFileSync(join(this.plugins, "program"), program);
    chmodSync(join(this.plugins, "program"), 0o755);
    for (const name of ["weave-net", "weave-ipam", "other"]) symlinkSync("program", join(this.plugins, name));
  }

  get releases(): string {
    return join(this.run, "cni-releases");
  }

  /** A plugin of another project: a script for sh. */
  addPlugin(name: string, script: string): void {
    writeFileSync(join(this.plugins, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(this.plugins, name), 0o755);
  }

  /**
   * Answers each connection with the bytes that `answer` returns for the bytes of the request, then ends it. It answers when the client
   * has sent a whole request.
   *
   * @param answer undefined ends the connection without an answer; "" never answers
   */
  async answerBy(answer: (request: Buffer, count: number) => string | Buffer | undefined): Promise<void> {
    await this.stopAnswers();
    let count = 0;
    this.#server = createServer((socket) => {
      let received = Buffer.alloc(0);
      let done = false;
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        received = Buffer.concat([received, bytes]);
        const end = received.indexOf("\r\n\r\n");
        const size = Number(/Content-Length: (\d+)/.exec(received.toString("latin1"))?.[1]);
        if (done || end < 0 || received.length < end + 4 + size) return;
        done = true;
        const reply = answer(received, count++);
        if (reply === undefined) socket.destroy();
        else if (reply !== "") socket.end(reply);
      });
    });
    await new Promise<void>((resolve) => this.#server!.listen(join(this.run, "control.sock"), resolve));
  }

  async stopAnswers(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise((resolve) => server.close(resolve));
  }

  /** Runs the plugin as a runtime does. */
  call(
    command: string,
    input: string | Buffer = CONFIGURATION,
    env: Readonly<Record<string, string | undefined>> = {},
    name = "weave-net",
  ): Promise<Result> {
    const program = [...this.#before, join(this.plugins, name)];
    const given = { ...VARIABLES, CNI_COMMAND: command, CNI_PATH: this.plugins, WEAVE_RUN_DIR: this.run, ...env };
    return piped(program, { PATH: process.env.PATH, ...given }, input);
  }

  async dispose(): Promise<void> {
    await this.stopAnswers();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export const CONFIGURATION = JSON.stringify({ cniVersion: "1.0.0", name: "weave", type: "weave-net" });

const VARIABLES = { CNI_CONTAINERID: "c1", CNI_NETNS: "/run/netns/c1", CNI_IFNAME: "eth0" };

/** An answer of the router. */
export function reply(status: number, body: string, headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries({ "Content-Length": String(Buffer.byteLength(body)), ...headers });
  return `HTTP/1.1 ${status} Text\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`;
}

/** The body of a request. */
export const bodyOf = (request: Buffer): string => request.subarray(request.indexOf("\r\n\r\n") + 4).toString("latin1");

/** The parts of a body, which zero bytes separate: variables, an empty entry, the configuration, the delegates' results. */
export const partsOf = (request: Buffer): string[] => bodyOf(request).split("\0");
