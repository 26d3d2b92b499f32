import * as z from "zod/mini";
import { CniError } from "#router/cni/cni-error.js";
import { type CniResult, cniDnsShape, cniRouteShape, parseCniResult } from "#router/cni/cni-result.js";
import { type CniVersion, cniVersionOf } from "#router/cni/cni-version.js";

/** Limits: texts in characters, lists in entries. */
const MAX_TEXT = 256;
const MAX_ADDRESSES = 64;
const MAX_ROUTES = 256;
const MAX_ALIASES = 64;
/** Maximum number of valid attachments of a GC: more than any host runs. */
const MAX_ATTACHMENTS = 65_536;
/** Characters of a network's name: it is part of the holder's id in IPAM. */
const NETWORK_NAME = /^[a-zA-Z0-9][\w.-]{0,79}$/;
/** The name of an executable file in `CNI_PATH`. */
const PLUGIN_NAME = /^[\w][\w.+-]{0,127}$/;

/** Names of this plugin's own executables. */
export const WEAVE_IPAM = "weave-ipam";

const text = z.pipe(
  z.nullish(z.string().check(z.maxLength(MAX_TEXT))),
  z.transform((value) => value || undefined),
);
const flag = z.pipe(
  z.nullish(z.boolean()),
  z.transform((value) => value ?? undefined),
);
const texts = z.pipe(
  z.nullish(z.array(z.string().check(z.maxLength(MAX_TEXT))).check(z.maxLength(MAX_ADDRESSES))),
  z.transform((value) => value ?? []),
);
const aliases = z.array(z.string().check(z.maxLength(MAX_TEXT))).check(z.maxLength(MAX_ALIASES));

const ipamShape = z.object({
  type: z.optional(text),
  subnet: z.optional(text),
  gateway: z.optional(text),
  routes: z.optional(z.nullish(z.array(cniRouteShape).check(z.maxLength(MAX_ROUTES)))),
});

const shape = z.object({
  name: z.optional(z.unknown()),
  bridge: z.optional(text),
  mtu: z.optional(z.nullish(z.number().check(z.int(), z.minimum(0), z.maximum(65_535)))),
  hairpinMode: z.optional(flag),
  isGateway: z.optional(flag),
  ipMasq: z.optional(flag),
  ipam: z.optional(z.nullish(ipamShape)),
  dns: z.optional(z.nullish(cniDnsShape)),
  args: z.optional(
    z.nullish(z.object({ cni: z.optional(z.nullish(z.object({ ips: z.optional(texts), mac: z.optional(text) }))) })),
  ),
  runtimeConfig: z.optional(
    z.nullish(
      z.object({
        mac: z.optional(text),
        ips: z.optional(texts),
        // A list by the conventions; podman sends the lists of all networks by their names.
        aliases: z.optional(z.nullish(z.union([aliases, z.record(z.string(), z.nullish(aliases))]))),
      }),
    ),
  ),
  prevResult: z.optional(z.unknown()),
  "cni.dev/valid-attachments": z.optional(
    z.nullish(
      z
        .array(
          z.object({
            containerID: z.string().check(z.maxLength(MAX_TEXT)),
            ifname: z.string().check(z.maxLength(MAX_TEXT)),
          }),
        )
        .check(z.maxLength(MAX_ATTACHMENTS)),
    ),
  ),
});

type Fields = z.infer<typeof shape>;

/** The network configuration of a call. Fields of other plugins are ignored. */
export interface CniConfiguration extends Omit<Fields, "name" | "ipam" | "prevResult"> {
  readonly version: CniVersion;
  /** Name of the network. */
  readonly network: string;
  readonly ipam: z.infer<typeof ipamShape>;
  /** Name of another plugin that assigns the addresses; undefined: weave does. */
  readonly delegate: string | undefined;
  readonly previous: CniResult | undefined;
}

/** Parses the JSON of a configuration. @throws CniError 6 */
export function parseCniJson(stdin: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(stdin);
  } catch (cause) {
    throw new CniError("decoding", `the network configuration is no JSON: ${(cause as Error).message.slice(0, 200)}`, {
      cause,
    });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new CniError("decoding", "the network configuration is no JSON object");
}

/**
 * Validates a configuration.
 *
 * @param value the result of {@link parseCniJson}
 * @throws CniError 1, 6 or 7
 */
export function parseCniConfiguration(value: Readonly<Record<string, unknown>>): CniConfiguration {
  const version = cniVersionOf(value.cniVersion);
  const parsed = shape.safeParse(value);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0];
    throw new CniError("invalidConfiguration", `invalid "${path.join(".")}" in the network configuration: ${message}`);
  }
  const { name, ipam, prevResult, ...fields } = parsed.data;
  if (typeof name !== "string" || !NETWORK_NAME.test(name))
    throw new CniError(
      "invalidConfiguration",
      `invalid name of the network: ${JSON.stringify(name ?? "")?.slice(0, 100)}`,
      {
        next: "The network configuration needs a \"name\" of up to 80 letters, digits, '_', '.' and '-'.",
      },
    );
  return {
    ...fields,
    version,
    network: name,
    ipam: ipam ?? {},
    delegate: delegateOf(ipam?.type),
    previous: prevResult === undefined || prevResult === null ? undefined : parseCniResult(prevResult, '"prevResult"'),
  };
}

function delegateOf(type: string | undefined): string | undefined {
  if (type === undefined || type === WEAVE_IPAM) return undefined;
  if (PLUGIN_NAME.test(type)) return type;
  throw new CniError("invalidConfiguration", `invalid "ipam.type" ${JSON.stringify(type.slice(0, 64))}`, {
    next: `It is the name of a plugin in CNI_PATH, such as host-local; without it ${WEAVE_IPAM} assigns the address.`,
  });
}

/** The names that the runtime requests for the interface: `aliases` of the conventions. */
export function aliasesOf({ runtimeConfig, network }: CniConfiguration): readonly string[] {
  const given = runtimeConfig?.aliases ?? [];
  if (Array.isArray(given)) return given;
  const lists = given as Record<string, string[] | null | undefined>;
  return (Object.hasOwn(lists, network) ? lists[network] : undefined) ?? [];
}
