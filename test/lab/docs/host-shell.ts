import { type ChildProcess, spawn } from "node:child_process";

import type { Host } from "#test/lab/host.js";

const COMMAND_MS = 120_000;
const END = "end-of-command";

export interface Outcome {
  readonly status: number;
  /** Standard output and standard error, as a terminal shows them. */
  readonly output: string;
}

/** The shell of a user who is logged in to a host: variables and the folder stay from one command to the next. */
export class HostShell {
  readonly #shell: ChildProcess;
  #output = "";
  /** Of the last command, for `$?`. */
  #status = 0;
  #received: () => void = () => {};

  /** @param home the user's folder, as the host finds it */
  constructor(host: Host, home: string) {
    const [file, ...args] = host.command("bash", "--norc");
    const env = { PATH: host.environment.PATH ?? process.env.PATH, USER: "root", LANG: "C.UTF-8" };
    this.#shell = spawn(file, args, { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#shell.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
      this.#received();
    });
    this.#shell.stdin!.write(`exec 2>&1\nexport HOME='${home}'\ncd\n`);
  }

  /** @throws Error: the command does not end, or ends the shell */
  async run(command: string): Promise<Outcome> {
    this.#output = "";
    this.#shell.stdin!.write(`{ (exit ${this.#status}); ${command}\n} </dev/null\nprintf '\\n%s %s\\n' ${END} $?\n`);
    const end = new RegExp(`\\n${END} (\\d+)\\n$`);
    return new Promise((resolve, reject) => {
      const fail = (reason: string) => () => reject(new Error(`${command}\n${reason}; its output:\n${this.#output}`));
      const timer = setTimeout(fail("does not end"), COMMAND_MS);
      this.#shell.once("exit", fail("has ended the shell"));
      this.#received = () => {
        const match = end.exec(this.#output);
        if (match === null) return;
        clearTimeout(timer);
        this.#shell.removeAllListeners("exit");
        this.#status = Number(match[1]);
        resolve({ status: this.#status, output: this.#output.slice(0, match.index) });
      };
    });
  }

  end(): void {
    this.#shell.removeAllListeners("exit");
    this.#shell.kill("SIGKILL");
  }
}
