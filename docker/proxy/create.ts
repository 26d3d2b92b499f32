import { fold, inDomain } from "#dns/name.js";
import { wantedAddresses } from "#docker/attacher.js";
import { type Image, wordsOf } from "#docker/engine/shapes.js";
import { isObject, type JsonObject, stringsOf } from "#docker/proxy/json.js";
import { isHelperBind, WAIT_COMMAND, WAIT_FOLDER } from "#docker/wait/helper.js";

/** Linux has no longer host names: 64 with the domain. */
const MAX_HOSTNAME = 64;

export interface CreateContext {
  /** Folder on this host that holds the waiting helper. */
  readonly helper: string;
  readonly defaultIpalloc: boolean;
  /** Undefined: containers are not told of weaveDNS. */
  readonly dns: { readonly address: string; readonly domain: string } | undefined;
  readonly hostnameFromLabel: string;
  readonly toHostname: (name: string) => string;
  image(name: string): Promise<Image>;
  /** Whether a network is one that our plugin drives. */
  isOurNetwork(name: string): Promise<boolean>;
}

export interface Created {
  /** Undefined: the call is to go on as it came. */
  readonly body: JsonObject | undefined;
  readonly warnings: readonly string[];
}

/**
 * Changes the body of `POST /containers/create` so that the container waits for the network, has a host name in our domain
 * and asks weaveDNS.
 *
 * @param name the container's, "" where Docker chooses
 * @throws WEAVE_ADDRESS_INVALID for a WEAVE_CIDR that cannot be
 */
export async function rewriteCreate(body: JsonObject, name: string, context: CreateContext): Promise<Created> {
  const untouched = { body: undefined, warnings: [] };
  const host: JsonObject = isObject(body.HostConfig) ? { ...body.HostConfig } : {};
  const mode = typeof host.NetworkMode === "string" ? host.NetworkMode : "";
  if (!["", "default", "bridge", "none"].includes(mode)) {
    // On a network of ours names are weaveDNS's too, once somebody says where it is.
    if (mode === "host" || mode.startsWith("container:") || !(await context.isOurNetwork(mode))) return untouched;
    return { body: { ...body, HostConfig: withDns(host, context, searchOf(body, false, context)) }, warnings: [] };
  }
  if (wantedAddresses(stringsOf(body.Env), context.defaultIpalloc) === undefined) return untouched;
  const command = await commandOf(body, context);
  // Docker says itself what is wrong with a container that has nothing to run, and pulls an image that is missing.
  if (command === undefined) return untouched;
  const warnings: string[] = [];
  const hostname = hostnameOf(body, name, context, warnings);
  return {
    body: {
      ...body,
      Entrypoint: command.Entrypoint,
      Cmd: command.Cmd,
      ...hostname,
      HostConfig: withDns(
        withHelper(host, context.helper),
        context,
        searchOf(body, Object.keys(hostname).length > 0, context),
      ),
    },
    warnings,
  };
}

export function withHelper(host: JsonObject, helper: string): JsonObject {
  const others = stringsOf(host.Binds).filter((bind) => !isHelperBind(bind));
  return { ...host, Binds: [...others, `${helper}:${WAIT_FOLDER}:ro`] };
}

/** @param search what to search for short names, unless the user says */
export function withDns(host: JsonObject, { dns }: Pick<CreateContext, "dns">, search: readonly string[]): JsonObject {
  if (dns === undefined) return host;
  const given = stringsOf(host.DnsSearch);
  return { ...host, Dns: [...stringsOf(host.Dns), dns.address], DnsSearch: given.length > 0 ? given : search };
}

/**
 * The domains in which a container's short names are searched: its own, where that is a sub-domain of ours, then ours. With a
 * host name that we gave it, none are written down, as in Weave Net: libraries then take the host name's own domain.
 */
function searchOf(body: JsonObject, hostnameIsOurs: boolean, { dns }: Pick<CreateContext, "dns">): string[] {
  if (hostnameIsOurs) return ["."];
  if (dns === undefined) return [];
  const fqdn = [body.Hostname, body.Domainname].filter((part) => typeof part === "string" && part !== "").join(".");
  const own = `${fqdn.slice(fqdn.indexOf(".") + 1).replace(/\.$/, "")}.`;
  return inDomain(fold(own), fold(dns.domain)) && fold(own) !== fold(dns.domain) ? [own, dns.domain] : [dns.domain];
}

/**
 * What the container is to run, with the helper in front, by Docker's own rules: a given entrypoint drops the image's
 * command, an empty one drops the image's entrypoint.
 */
async function commandOf(
  body: JsonObject,
  context: CreateContext,
): Promise<{ Entrypoint: string[]; Cmd: string[] } | undefined> {
  const given = stringsOf(body.Entrypoint);
  let entrypoint = given.length === 1 && given[0] === "" ? [] : given;
  let command = stringsOf(body.Cmd);
  if (given.length === 0) {
    const image = await context.image(String(body.Image ?? "")).catch(() => undefined);
    if (image === undefined) return undefined;
    if (command.length === 0) command = [...wordsOf(image.Config?.Cmd ?? [])];
    entrypoint = [...wordsOf(image.Config?.Entrypoint ?? [])];
  }
  if (entrypoint.length + command.length === 0) return undefined;
  const wrapped = entrypoint[0] === WAIT_COMMAND;
  return { Entrypoint: wrapped ? entrypoint : [WAIT_COMMAND, ...entrypoint], Cmd: command };
}

/** A host name in our domain, made of the container's name or label, unless the user gave one. */
function hostnameOf(body: JsonObject, name: string, context: CreateContext, warnings: string[]): JsonObject {
  const { dns, hostnameFromLabel, toHostname } = context;
  if (dns === undefined || body.Hostname || body.Domainname) return {};
  const label = isObject(body.Labels) && hostnameFromLabel !== "" ? body.Labels[hostnameFromLabel] : undefined;
  const hostname = toHostname(typeof label === "string" && label !== "" ? label : name);
  if (hostname === "") return {};
  const domain = dns.domain.replace(/\.$/, "");
  if (hostname.length + 1 + domain.length > MAX_HOSTNAME) {
    warnings.push(`Container name [${hostname}] too long to be used as hostname`);
    return {};
  }
  return { Hostname: hostname, Domainname: domain };
}
