import type { ZodMiniType } from "zod/mini";
import * as z from "zod/mini";

/**
 * Shapes of the engine's answers. Fields that any engine since API 1.24 leaves out or sets to `null` are optional. Fields that we do
 * not use are not checked.
 */

/** A field that may be missing or null; then it has the value `otherwise`. */
const or = <T>(shape: ZodMiniType<T>, otherwise: T) =>
  z.pipe(
    z.nullish(shape),
    z.transform((value: T | null | undefined): T => value ?? otherwise),
  );

const text = or(z.string(), "");
const texts = or(z.array(z.string()), []);
const labels = or(z.record(z.string(), z.string()), {});
/** A command: one word, several, or none. */
const words = or<string | string[]>(z.union([z.string(), z.array(z.string())]), []);

/** A container's endpoint on one network. Since API 1.52 only endpoints have addresses. */
const networkEndShape = z.object({
  NetworkID: text,
  EndpointID: text,
  IPAddress: text,
  IPPrefixLen: or(z.number(), 0),
  MacAddress: text,
  Aliases: texts,
});

type NetworkEnd = z.infer<typeof networkEndShape>;

export const containerShape = z.object({
  Id: z.string(),
  Name: text,
  HostsPath: text,
  State: z.object({
    Running: z.boolean(),
    /** 0 when the container does not run. */
    Pid: or(z.number(), 0),
    StartedAt: text,
    Error: text,
    Paused: or(z.boolean(), false),
    /** Missing without a health check. */
    Health: z.nullish(z.object({ Status: text })),
  }),
  Config: z.object({
    Hostname: text,
    Domainname: text,
    Env: texts,
    Entrypoint: words,
    Cmd: words,
    /** "" for SIGTERM. */
    StopSignal: text,
  }),
  HostConfig: z.object({
    Binds: texts,
    ExtraHosts: texts,
    /** `container:ID` for a container in the network namespace of another one, in a pod of Podman that of its infra container. */
    NetworkMode: text,
    RestartPolicy: or<{ Name: string }>(z.object({ Name: text }), { Name: "" }),
  }),
  NetworkSettings: z.object({ Networks: or(z.record(z.string(), networkEndShape), {}) }),
});

/** An entry of a list of containers. */
export const summaryShape = z.object({ Id: z.string() });

/** An entry of a list of containers, with its endpoints. */
export const runningShape = z.object({
  Id: z.string(),
  NetworkSettings: or<{ Networks: Record<string, NetworkEnd> }>(
    z.object({ Networks: or(z.record(z.string(), networkEndShape), {}) }),
    { Networks: {} },
  ),
});

/** An entry of a list of containers, with the addresses that users chose (`--ip`). */
export const requestedShape = z.object({
  Id: z.string(),
  NetworkSettings: z.nullish(
    z.object({
      Networks: or(
        z.record(z.string(), z.nullish(z.object({ IPAMConfig: z.nullish(z.object({ IPv4Address: text })) }))),
        {},
      ),
    }),
  ),
});

interface SwarmInfo {
  readonly LocalNodeState: string;
  readonly ControlAvailable: boolean;
  readonly NodeAddr: string;
  /** Addresses of all managers, with the port of the swarm. */
  readonly RemoteManagers: readonly { readonly Addr: string }[];
}

export const infoShape = z.object({
  SecurityOptions: texts,
  /** Of Podman. */
  Rootless: or(z.boolean(), false),
  Swarm: or<SwarmInfo>(
    z.object({
      LocalNodeState: text,
      ControlAvailable: or(z.boolean(), false),
      NodeAddr: text,
      RemoteManagers: or(z.array(z.object({ Addr: text })), []),
    }),
    { LocalNodeState: "", ControlAvailable: false, NodeAddr: "", RemoteManagers: [] },
  ),
});

export const networkShape = z.object({
  Id: z.string(),
  Name: text,
  Driver: text,
  Internal: or(z.boolean(), false),
  IPAM: z.nullish(
    z.object({
      Driver: text,
      Config: or(z.array(z.object({ Subnet: text, Gateway: text, AuxiliaryAddresses: labels })), []),
    }),
  ),
  Options: labels,
  Containers: or(
    z.record(z.string(), z.object({ Name: text, EndpointID: text, IPv4Address: text, IPv6Address: text })),
    {},
  ),
});

/** The services of a network, in its verbose description: the endpoints on all nodes of a swarm, as the engines' gossip has them. */
export const networkServicesShape = z.object({
  IPAM: z.nullish(z.object({ Config: or(z.array(z.object({ Subnet: text })), []) })),
  Services: or(
    z.record(
      z.string(),
      z.object({ VIP: text, Tasks: or(z.array(z.object({ EndpointID: text, EndpointIP: text })), []) }),
    ),
    {},
  ),
});

/** A task of a swarm, as managers show it. */
export const swarmTaskShape = z.object({
  ID: z.string(),
  ServiceID: text,
  Status: or(z.object({ State: text }), { State: "" }),
  NetworksAttachments: or(z.array(z.object({ Network: or(z.object({ ID: text }), { ID: "" }), Addresses: texts })), []),
});

/** A service of a swarm, as managers show it. */
export const swarmServiceShape = z.object({
  /** Missing before the first update. */
  UpdateStatus: z.nullish(z.object({ State: text })),
  Endpoint: z.nullish(z.object({ VirtualIPs: or(z.array(z.object({ NetworkID: text, Addr: text })), []) })),
});

export const imageShape = z.object({
  Config: z.nullish(
    z.object({
      Entrypoint: words,
      Cmd: words,
      Volumes: or(z.record(z.string(), z.unknown()), {}),
    }),
  ),
});

/** The answer to `/version`. */
export const versionShape = z.object({ MinAPIVersion: text });

/** An event. Its old fields `status`, `id` and `from` are not read: engines since API 1.52 leave them out. */
export const eventShape = z.object({
  Type: z.string(),
  Action: z.string(),
  Actor: z.object({ ID: text, Attributes: labels }),
});

export type Container = z.infer<typeof containerShape>;
/** A container with its endpoints. */
export type RunningContainer = z.infer<typeof runningShape>;
export type Network = z.infer<typeof networkShape>;
export type NetworkServices = z.infer<typeof networkServicesShape>;
export type SwarmTask = z.infer<typeof swarmTaskShape>;
export type SwarmService = z.infer<typeof swarmServiceShape>;
export type Image = z.infer<typeof imageShape>;
export type EngineEvent = z.infer<typeof eventShape>;

/** Role of an engine in a swarm. */
export type SwarmRole = "manager" | "worker";

/** The swarm of an engine. */
export interface Swarm {
  readonly role: SwarmRole;
  /** Hosts of the other managers, without a port. */
  readonly managers: readonly string[];
}

/** A container's name, without Docker's leading slash. */
export const nameOf = ({ Name }: Pick<Container, "Name">): string => Name.replace(/^\//, "");

/** Whether a text has the form of a full container id. Docker never reuses one. */
export const isContainerId = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

/** Digits of a container's id that Docker shows, the fewest by which one is found. */
const SHORT_ID = 12;

/** The first digits of a container's id, as Docker shows them. */
export const shortId = (id: string): string => id.slice(0, SHORT_ID);

/** Whether a text is an id, or a start of it that is long enough. */
export const isIdOrStart = (text: string, id: string): boolean =>
  text === id || (text.length >= SHORT_ID && id.startsWith(text));

/** The words of a command that is one word, several, or empty. */
export const wordsOf = (value: string | readonly string[]): readonly string[] =>
  typeof value === "string" ? (value === "" ? [] : [value]) : value;
