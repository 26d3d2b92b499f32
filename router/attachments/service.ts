import type { HostsFile } from "#docker/container-attachments.js";
import type { Mesh } from "#mesh/mesh.js";
import type { Ipam } from "#router/addresses/ipam.js";
import {
  type AttachmentTarget,
  findAttachmentTarget,
  type InspectContainer,
} from "#router/attachments/attachment-target.js";
import { Attachments, type AttachmentsOptions } from "#router/attachments/attachments.js";
import type { BusyHolders } from "#router/attachments/busy-holders.js";
import { listAttachments } from "#router/attachments/listing.js";
import type { Exposure } from "#router/exposure/exposure.js";
import type { WeaveDns } from "#router/names/weave-dns.js";
import { connectedHosts } from "#router/peers/service.js";
import { type Request, type Route, route } from "#router/route.js";
import type { Service } from "#router/service.js";
import { timeoutOf } from "#router/timeout.js";
import { type AddressArgument, DEFAULT_SUBNET, parseAddressArgument } from "#src/address-argument.js";
import { invalidValue, WeaveError } from "#src/errors.js";
import { type Answer, errorBody, jsonAnswer } from "#src/http/answer.js";
import { httpStatus } from "#src/http/error-status.js";
import { EXPOSED } from "#src/ident.js";
import { bridgeInterfacesIn, bridgePorts } from "#src/linux/netns/inspect.js";
import type { Log } from "#src/log.js";

/** Maximum number of values of one parameter: addresses, entries for a hosts file, or ids. */
const MAX_VALUES = 256;
/** An entry for a hosts file in Docker's notation, `host:address`. */
const EXTRA_HOST = /^[^:\s]+:[\d.:a-fA-F]+$/;

/** Features of the router that attachments use. */
export interface AttachmentFeatures {
  /** Undefined when IPAM is off. */
  readonly ipam: Ipam | undefined;
  /** Undefined when weaveDNS is off. */
  readonly dns: WeaveDns | undefined;
  readonly exposure: Exposure;
  readonly mesh: Mesh;
  readonly busy: BusyHolders;
  readonly log: Log;
}

/** Makes the attachments of a router. */
export function openAttachments(features: AttachmentFeatures, options: AttachmentsOptions): Attachments {
  const { ipam, dns, exposure, mesh, busy, log } = features;
  return new Attachments(
    {
      ipam: ipam && { requests: ipam.allocator.requests, defaultSubnet: ipam.defaultSubnet },
      names: dns?.names,
      exposure,
      connectedHosts: () => connectedHosts(mesh),
      busy,
      log,
    },
    options,
  );
}

export interface AttachmentServiceDeps {
  readonly attachments: Attachments;
  readonly bridge: string;
  /** Undefined without Docker: a target is then a namespace. */
  readonly inspect: InspectContainer | undefined;
}

/** The routes that attach, detach and list. The target {@link EXPOSED} is the host itself. */
export function attachmentService(deps: AttachmentServiceDeps): Service {
  return { name: "attachments", routes: () => attachmentRoutes(deps) };
}

function attachmentRoutes({ attachments, bridge, inspect }: AttachmentServiceDeps): Route[] {
  const find = (text: string) => findAttachmentTarget(text, inspect);
  // These routes enter namespaces of this host, so clients with read-only access are refused.
  const privileged = { changes: true };
  return [
    route(
      "GET /attachments",
      async ({ form }) => jsonAnswer(await listAttachments(bridge, valuesOf(form, "id"), inspect)),
      privileged,
    ),
    route(
      "GET /attachments/:target",
      async ({ params: { target } }) => {
        const { ident, netns, fqdn, container } = await find(target);
        const interfaces = await bridgeInterfacesIn(netns, await bridgePorts(bridge));
        const addresses = interfaces.flatMap((each) => each.addresses);
        // The holder of names: of a container in another one's namespace it is not the holder of the addresses.
        return jsonAnswer({ ident: container?.Id ?? ident, fqdn, container: container !== undefined, addresses });
      },
      privileged,
    ),
    route("POST /attachments/:target", async (request) => {
      const { target } = request.params;
      return withWarnings((warn) =>
        target === EXPOSED ? expose(attachments, request, warn) : attach(attachments, request, find, warn),
      );
    }),
    route("DELETE /attachments/:target", async ({ params: { target }, form, signal }) => {
      const wanted = wantedOf(form);
      if (target === EXPOSED) return jsonAnswer({ addresses: await attachments.hide({ wanted, signal }) });
      const { ident, netns } = await find(target);
      return jsonAnswer({ addresses: await attachments.detach({ ident, netns, wanted, signal }) });
    }),
  ];
}

type Warn = (text: string) => void;

async function attach(
  attachments: Attachments,
  { params: { target: text }, form, signal }: Request<"target">,
  find: (text: string) => Promise<AttachmentTarget>,
  warn: Warn,
): Promise<readonly string[]> {
  const given = form.get("name");
  const target = await find(text);
  const fqdn = given === null ? target.fqdn : attachments.qualified(given);
  const named = fqdn !== undefined && (given !== null || form.get("own-name") !== "false");
  return attachments.attach({
    ident: target.ident,
    netns: target.netns,
    ...commonOf(form, signal, warn),
    multicastRoute: form.get("multicast-route") !== "false",
    hostsFile: form.get("rewrite-hosts") === "true" ? hostsFileOf(target, valuesOf(form, "add-host")) : undefined,
    hostsFileRequired: true,
    name: named ? { ident: target.container?.Id, fqdn, required: given !== null } : undefined,
  });
}

function expose(attachments: Attachments, { form, signal }: Request<"target">, warn: Warn): Promise<readonly string[]> {
  const given = form.get("name");
  return attachments.expose({
    ...commonOf(form, signal, warn),
    masquerade: form.get("masquerade") !== "false",
    name: given === null ? undefined : { fqdn: attachments.qualified(given), required: true },
  });
}

const commonOf = (form: URLSearchParams, signal: AbortSignal, warn: Warn) => ({
  wanted: wantedOf(form),
  timeoutMs: timeoutOf(form),
  signal,
  warn,
  claimPrefix: "Unable to claim: ",
});

/** Answers with addresses and warnings. The answer of a failed request has the warnings too. */
async function withWarnings(work: (warn: Warn) => Promise<readonly string[]>): Promise<Answer> {
  const warnings: string[] = [];
  try {
    const addresses = await work((text) => warnings.push(text));
    return jsonAnswer({ addresses, warnings });
  } catch (error) {
    if (warnings.length === 0) throw error;
    return jsonAnswer({ ...errorBody(error), warnings }, httpStatus(error));
  }
}

function hostsFileOf({ container, fqdn }: AttachmentTarget, extra: readonly string[]): HostsFile {
  if (container === undefined)
    throw new WeaveError("WEAVE_ATTACH", "--rewrite-hosts is for containers: a namespace has no /etc/hosts");
  for (const entry of extra) {
    if (!EXTRA_HOST.test(entry)) throw invalidValue("add-host", entry, "host:ip_address");
  }
  const { Hostname } = container.Config;
  return { path: container.HostsPath, name: fqdn ?? Hostname, hostname: Hostname, extra };
}

/** The addresses that a request names. @throws WEAVE_ADDRESS_INVALID */
function wantedOf(form: URLSearchParams): readonly AddressArgument[] {
  const words = valuesOf(form, "address");
  if (words.length === 0) return [DEFAULT_SUBNET];
  return words.map((word) => {
    const address = parseAddressArgument(word);
    if (address !== undefined) return address;
    throw new WeaveError("WEAVE_ADDRESS_INVALID", `${JSON.stringify(word.slice(0, 64))} is no address`, {
      next: "Give [ip:]a.b.c.d/n, net:a.b.c.d/n or net:default.",
    });
  });
}

function valuesOf(form: URLSearchParams, name: string): string[] {
  const values = form.getAll(name);
  if (values.length > MAX_VALUES)
    throw new WeaveError("WEAVE_FLAG_INVALID", `more than ${MAX_VALUES} values of ${name}`);
  return values;
}
