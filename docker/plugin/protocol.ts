import * as z from "zod/mini";

/**
 * Shapes of Docker's calls of a network or IPAM driver (moby, daemon/libnetwork/drivers/remote/api and ipams/remote/api). Bodies
 * may be empty, and fields missing or null.
 */

/** Limit for a text, in characters: far above any that Docker sends. */
const MAX_TEXT = 4_096;
/** Limit for the address ranges of a network. */
const MAX_RANGES = 16;
const text = z.pipe(
  z.nullish(z.string().check(z.maxLength(MAX_TEXT))),
  z.transform((value) => value ?? ""),
);
/** Id of a network or endpoint: 64 hexadecimal digits, or in a swarm 25 letters and digits. Never empty, never a path. */
const id = z.string().check(z.regex(/^[\w.-]{1,128}$/));
const options = z.pipe(
  z.nullish(z.record(z.string(), z.unknown())),
  z.transform((value) => value ?? {}),
);

const ipData = z.pipe(
  z.nullish(z.array(z.object({ AddressSpace: text, Pool: text, Gateway: text })).check(z.maxLength(MAX_RANGES))),
  z.transform((value) => value ?? []),
);

export const createNetworkShape = z.object({ NetworkID: id, Options: options, IPv4Data: ipData, IPv6Data: ipData });
export const networkIdShape = z.object({ NetworkID: id });
export const allocateNetworkShape = z.object({ NetworkID: id, Options: options });
export const createEndpointShape = z.object({
  NetworkID: id,
  EndpointID: id,
  Interface: z.nullish(z.object({ Address: text, AddressIPv6: text, MacAddress: text })),
  Options: options,
});
export const endpointShape = z.object({ NetworkID: id, EndpointID: id });
export const joinShape = z.object({ NetworkID: id, EndpointID: id, SandboxKey: text });
export const anythingShape = z.unknown();

export const requestPoolShape = z.object({
  AddressSpace: text,
  Pool: text,
  SubPool: text,
  V6: z.optional(z.nullish(z.boolean())),
});
export const poolShape = z.object({ PoolID: text });
export const requestAddressShape = z.object({ PoolID: text, Address: text, Options: options });
export const releaseAddressShape = z.object({ PoolID: text, Address: text });

export type CreateNetwork = z.infer<typeof createNetworkShape>;
export type CreateEndpoint = z.infer<typeof createEndpointShape>;
export type Join = z.infer<typeof joinShape>;
export type EndpointRef = z.infer<typeof endpointShape>;
export type RequestPool = z.infer<typeof requestPoolShape>;
export type Pool = z.infer<typeof poolShape>;
export type RequestAddress = z.infer<typeof requestAddressShape>;
export type ReleaseAddress = z.infer<typeof releaseAddressShape>;

/** Whether Docker requests an address for a gateway (`com.docker.network.gateway`). */
export const isGateway = ({ Options }: RequestAddress): boolean =>
  Options.RequestAddressType === "com.docker.network.gateway";

/** Names of our IPAM driver's address spaces; a network of another IPAM driver has other names. */
export const SPACES = { LocalDefaultAddressSpace: "weavelocal", GlobalDefaultAddressSpace: "weaveglobal" } as const;
