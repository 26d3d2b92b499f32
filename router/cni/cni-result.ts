import * as z from "zod/mini";
import { CniError } from "#router/cni/cni-error.js";
import { type CniVersion, isAtLeast } from "#router/cni/cni-version.js";
import { canonicalIpv6 } from "#src/address.js";

/** Limits for results of other plugins: texts in characters, lists in entries. */
const MAX_TEXT = 4_096;
const MAX_ENTRIES = 1_024;

const text = z.string().check(z.maxLength(MAX_TEXT));
const optionalText = z.pipe(
  z.nullish(text),
  z.transform((value) => value || undefined),
);
const whole = z.number().check(z.int(), z.minimum(0), z.maximum(0xffff_ffff));
const optionalWhole = z.pipe(
  z.nullish(whole),
  z.transform((value) => value ?? undefined),
);
const listOf = <T extends z.ZodMiniType>(of: T) =>
  z.pipe(
    z.nullish(z.array(of).check(z.maxLength(MAX_ENTRIES))),
    z.transform((value) => value ?? []),
  );

/** A route. Its texts are checked where it is used. */
export const cniRouteShape = z.object({
  dst: text,
  gw: z.optional(optionalText),
  mtu: z.optional(optionalWhole),
  advmss: z.optional(optionalWhole),
  priority: z.optional(optionalWhole),
  table: z.optional(optionalWhole),
  scope: z.optional(optionalWhole),
});
export const cniDnsShape = z.object({
  nameservers: z.optional(listOf(text)),
  domain: z.optional(optionalText),
  search: z.optional(listOf(text)),
  options: z.optional(listOf(text)),
});
const interfaceShape = z.object({
  name: text,
  mac: z.optional(optionalText),
  mtu: z.optional(optionalWhole),
  sandbox: z.optional(optionalText),
  socketPath: z.optional(optionalText),
  pciID: z.optional(optionalText),
});
const ipShape = z.object({
  address: text,
  gateway: z.optional(optionalText),
  interface: z.optional(optionalWhole),
});
/** An address of versions 0.1.0 and 0.2.0. */
const oldIpShape = z.object({
  ip: text,
  gateway: z.optional(optionalText),
  routes: z.optional(listOf(cniRouteShape)),
});
const resultShape = z.object({
  interfaces: z.optional(listOf(interfaceShape)),
  ips: z.optional(listOf(ipShape)),
  routes: z.optional(listOf(cniRouteShape)),
  dns: z.optional(z.nullish(cniDnsShape)),
  ip4: z.optional(z.nullish(oldIpShape)),
  ip6: z.optional(z.nullish(oldIpShape)),
});

export type CniRoute = z.infer<typeof cniRouteShape>;
export type CniDns = z.infer<typeof cniDnsShape>;
export type CniInterface = z.infer<typeof interfaceShape>;
export type CniIp = z.infer<typeof ipShape>;

/** The result of an ADD, of any version. */
export interface CniResult {
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns: CniDns;
}

export const NO_RESULT: CniResult = { interfaces: [], ips: [], routes: [], dns: {} };

/**
 * Reads a result of any supported version.
 *
 * @param what its origin, for the message
 * @throws CniError 6
 */
export function parseCniResult(value: unknown, what: string): CniResult {
  const parsed = resultShape.safeParse(value);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0];
    throw new CniError(
      "decoding",
      `${what} is no CNI result: ${[path.join("."), message].filter((each) => each).join(": ")}`,
    );
  }
  const { interfaces = [], ips = [], routes = [], dns, ip4, ip6 } = parsed.data;
  const old = [ip4, ip6].flatMap((each) => (each ? [each] : []));
  return {
    interfaces,
    ips: [...ips, ...old.map(({ ip, gateway }) => ({ address: ip, gateway }))],
    routes: [...routes, ...old.flatMap((each) => each.routes ?? [])],
    dns: dns ?? {},
  };
}

/** Makes the result in the form of a version. Fields that the version does not have are left out. */
export function cniResultBody(result: CniResult, cniVersion: CniVersion): object {
  const dns = withoutEmpty(result.dns);
  const routes = result.routes.map((route) => routeBody(route, cniVersion));
  if (!isAtLeast(cniVersion, "0.3.0")) {
    const family = (isThis: (address: string) => boolean) => {
      const ip = result.ips.find(({ address }) => isThis(address));
      if (ip === undefined) return undefined;
      const own = routes.filter(({ dst }) => isThis(dst));
      return withoutEmpty({ ip: ip.address, gateway: ip.gateway, routes: own });
    };
    return withoutEmpty({ cniVersion, ip4: family((each) => !isIpv6Text(each)), ip6: family(isIpv6Text), dns });
  }
  return withoutEmpty({
    cniVersion,
    interfaces: result.interfaces.map((each) => interfaceBody(each, cniVersion)),
    ips: result.ips.map(({ address, gateway, interface: index }) => ({
      ...(isAtLeast(cniVersion, "1.0.0") ? {} : { version: isIpv6Text(address) ? "6" : "4" }),
      ...(index === undefined ? {} : { interface: index }),
      address,
      ...(gateway === undefined ? {} : { gateway }),
    })),
    routes,
    dns,
  });
}

export const isIpv6Text = (address: string): boolean => address.includes(":");

/** Whether a text is an IPv6 address with a prefix length, and nothing else: it becomes a part of a command. */
export function isIpv6Cidr(text: string): boolean {
  const [address, prefix = "", ...rest] = text.split("/");
  return rest.length === 0 && canonicalIpv6(address) !== undefined && /^\d{1,3}$/.test(prefix) && Number(prefix) <= 128;
}

function interfaceBody({ name, mac, sandbox, ...newer }: CniInterface, version: CniVersion): object {
  return withoutEmpty({ name, mac, sandbox, ...(isAtLeast(version, "1.1.0") ? newer : {}) });
}

function routeBody({ dst, gw, ...newer }: CniRoute, version: CniVersion): { readonly dst: string } {
  return { dst, ...withoutEmpty({ gw, ...(isAtLeast(version, "1.1.0") ? newer : {}) }) };
}

/** Removes the entries of an object that are undefined, or empty lists or objects. */
function withoutEmpty(value: object): object {
  return Object.fromEntries(
    Object.entries(value).filter(
      ([, each]) => each !== undefined && !(typeof each === "object" && Object.keys(each as object).length === 0),
    ),
  );
}
