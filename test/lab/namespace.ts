import { type ChildProcess, execFile, spawn } from "node:child_process";

const PROGRAM = new URL("./program.js", import.meta.url).pathname;
const COMMAND_MS = 120_000;

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever that is. */
export function execute(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  timeout = COMMAND_MS,
): Promise<Result> {
  return new Promise((resolve) => {
    execFile(
      file,
      [...args],
      { timeout, killSignal: "SIGKILL", maxBuffer: 64 << 20, env: { ...process.env, ...env } },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, stdout, stderr: stderr || (code === -1 ? String(error) : "") });
      },
    );
  });
}

export async function must(file: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await execute(file, args);
  if (code !== 0) throw new Error(`${file} ${args.join(" ")}: ${stderr || `exit status ${code}`}`);
  return stdout;
}

/** A network namespace with programs in it. */
export class Namespace {
  readonly ns: string;

  constructor(ns: string) {
    this.ns = ns;
  }

  /** A command as this machine must run it, to run inside. */
  command(...command: string[]): string[] {
    return [...this.enter, ...command];
  }

  /** What a command must begin with to run inside. */
  protected get enter(): readonly string[] {
    return ["ip", "netns", "exec", this.ns];
  }

  run(...command: string[]): Promise<Result> {
    return this.runWith({}, ...command);
  }

  runWith(env: NodeJS.ProcessEnv, ...command: string[]): Promise<Result> {
    const [file, ...args] = this.command(...command);
    return execute(file, args, env);
  }

  async must(...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...command);
    if (code !== 0) throw new Error(`${command.join(" ")}: ${stderr || stdout || `exit status ${code}`}`);
    return stdout;
  }

  spawn(command: readonly string[]): ChildProcess {
    const [file, ...args] = this.command(...command);
    return spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  }

  /** One of the small programs of program.ts. */
  program(...args: string[]): Promise<Result> {
    return this.run(process.execPath, PROGRAM, ...args);
  }

  /** As {@link program}, in the background; resolves when it has said that it is ready. */
  async background(...args: string[]): Promise<Background> {
    const child = this.spawn([process.execPath, PROGRAM, ...args]);
    const background = new Background(child);
    await background.ready;
    return background;
  }

  /** Sends `count` echo requests; returns how many were answered. */
  async ping(address: string, options: { count?: number; size?: number; wait?: number } = {}): Promise<number> {
    const { count = 3, size = 56, wait = 1 } = options;
    const { stdout } = await this.run(
      "ping",
      "-n",
      "-q",
      "-c",
      String(count),
      "-i",
      "0.1",
      "-W",
      String(wait),
      "-s",
      String(size),
      address,
    );
    return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
  }
}

/** A program that prints "ready", works, and prints its result. */
export class Background {
  readonly ready: Promise<void>;
  readonly result: Promise<string>;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    let output = "";
    let errors = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      errors += chunk;
    });
    this.ready = new Promise((resolve, reject) => {
      child.stdout!.on("data", (chunk: Buffer) => {
        output += chunk;
        if (output.startsWith("ready\n")) resolve();
      });
      child.once("exit", (code) => reject(new Error(`ended with ${code} before it was ready: ${errors}`)));
    });
    this.result = new Promise((resolve, reject) => {
      child.once("close", (code) =>
        code === 0
          ? resolve(output.slice("ready\n".length).trim())
          : reject(new Error(`ended with ${code}: ${errors}`)),
      );
    });
    this.result.catch(() => {});
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Asks a program that works until SIGTERM for its result. */
  end(): Promise<string> {
    this.#child.kill("SIGTERM");
    return this.result;
  }
}
