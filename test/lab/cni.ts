import { fetchReply } from "#src/http/client.js";
import { controlSocket } from "#src/paths.js";
import type { Host } from "#test/lab/host.js";

/** The answer to a CNI call. */
export interface CniAnswer {
  /** 200: success, 202: another plugin is next, 422: an error result. */
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: each command has its own result
  readonly body: any;
  /** The plugin that the client executes, and its command: `host-local ADD`; undefined for none. */
  readonly delegate: string | undefined;
}

export interface CniCallOptions {
  readonly plugin?: "net" | "ipam";
  readonly container?: string;
  readonly netns?: string;
  readonly ifname?: string;
  readonly args?: string;
  /** Outcomes of delegated plugins: exit status and standard output. */
  readonly delegates?: readonly (readonly [number, object | string])[];
}

/** Makes the body of a request, as the client does. */
export function cniBody(
  command: string,
  configuration: object | string,
  { container = "", netns = "", ifname = "eth0", args = "", delegates = [] }: CniCallOptions = {},
): Buffer {
  const text = (value: object | string) => (typeof value === "string" ? value : JSON.stringify(value));
  const variables = {
    COMMAND: command,
    CONTAINERID: container,
    NETNS: netns,
    IFNAME: ifname,
    ARGS: args,
    PATH: "/opt/cni/bin",
  };
  const environment = Object.entries(variables).map(([name, value]) => `CNI_${name}=${value}\0`);
  const outcomes = delegates.map(([status, output]) => `\0${status}\0${text(output)}`);
  return Buffer.from([...environment, "\0", text(configuration), ...outcomes].join(""));
}

/** Sends one CNI call to the router of a host. */
export async function cniCall(
  host: Host,
  command: string,
  configuration: object | string,
  options: CniCallOptions = {},
): Promise<CniAnswer> {
  const { status, headers, body } = await fetchReply({
    to: { path: controlSocket(host.runDir) },
    method: "POST",
    path: `/cni/${options.plugin ?? "net"}`,
    headers: { "Content-Type": "application/x-weave-cni" },
    body: cniBody(command, configuration, options),
    answerMs: 60_000,
  });
  const name = headers["weave-delegate"];
  const text = body.toString();
  return {
    status,
    body: text === "" ? undefined : JSON.parse(text),
    delegate: name === undefined ? undefined : `${name} ${headers["weave-delegate-command"]}`,
  };
}
