import { WeaveError } from "#src/errors.js";

/** Settings from `WEAVE_DOCKER_ARGS`, for the body of `POST /containers/create`. */
export interface DockerArgs {
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly binds: readonly string[];
  readonly hostConfig: Readonly<Record<string, unknown>>;
}

type Kind = "env" | "label" | "volume" | "log-driver" | "log-opt" | "memory" | "cpus";

/** Accepted flags of `docker run`. Others could remove rights, namespaces or folders that the router needs. */
const FLAGS: Readonly<Record<string, Kind>> = {
  "-e": "env",
  "--env": "env",
  "-l": "label",
  "--label": "label",
  "-v": "volume",
  "--volume": "volume",
  "--log-driver": "log-driver",
  "--log-opt": "log-opt",
  "-m": "memory",
  "--memory": "memory",
  "--cpus": "cpus",
};
const UNITS: Readonly<Record<string, number>> = { "": 1, b: 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

/** Parses flags of `docker run`, separated by white space. @throws WEAVE_FLAG_INVALID */
export function parseDockerArgs(text: string): DockerArgs {
  const values = new Map<Kind, string[]>();
  const words = text.split(/\s+/).filter((word) => word !== "");
  for (let i = 0; i < words.length; i++) {
    const [, flag, given] = /^(-{1,2}[^=]+)(?:=(.*))?$/.exec(words[i]) ?? [];
    const kind = flag === undefined ? undefined : FLAGS[flag];
    if (kind === undefined) throw invalid(`'${words[i].slice(0, 64)}' is none of ${Object.keys(FLAGS).join(", ")}`);
    const value = given ?? words[++i];
    if (value === undefined || value === "") throw invalid(`${flag} has no value`);
    values.set(kind, [...(values.get(kind) ?? []), value]);
  }
  const all = (kind: Kind) => values.get(kind) ?? [];
  const [driver, memory, cpus] = [all("log-driver").pop(), all("memory").pop(), all("cpus").pop()];
  const log = all("log-opt");
  return {
    env: all("env"),
    labels: pairs(all("label")),
    binds: all("volume"),
    hostConfig: {
      ...(driver === undefined && log.length === 0 ? {} : { LogConfig: { Type: driver ?? "", Config: pairs(log) } }),
      ...(memory === undefined ? {} : { Memory: bytes(memory) }),
      ...(cpus === undefined ? {} : { NanoCpus: nanoCpus(cpus) }),
    },
  };
}

const pairs = (values: readonly string[]): Record<string, string> =>
  Object.fromEntries(values.map((value) => [value.split("=")[0], value.split("=").slice(1).join("=")]));

function bytes(value: string): number {
  const [, digits, unit] = /^(\d{1,12})([bkmg]?)$/i.exec(value) ?? [];
  if (digits === undefined) throw invalid(`the memory '${value.slice(0, 64)}' is no number with b, k, m or g`);
  return Number(digits) * UNITS[unit.toLowerCase()];
}

function nanoCpus(value: string): number {
  if (!/^\d{1,4}(\.\d{1,9})?$/.test(value)) throw invalid(`--cpus '${value.slice(0, 64)}' is no number`);
  return Math.round(Number(value) * 1e9);
}

const invalid = (why: string): WeaveError =>
  new WeaveError("WEAVE_FLAG_INVALID", `WEAVE_DOCKER_ARGS: ${why}`, {
    next: "It adds settings to the container in which the router runs; options of the router are flags of 'weave launch'.",
  });
