import { fold, inDomain } from "#dns/name.js";
import { wantedAddresses } from "#docker/addresses/weave-cidr.js";
import { type Image, wordsOf } from "#docker/engine/shapes.js";
import { isObject, type JsonObject, stringsOf } from "#docker/proxy/json.js";
import { bindTarget, freeWaitFolder, waitCommand, waitFolderOf, withoutWait } from "#docker/wait/helper.js";

/** Pure steps of a container's creation through the proxy: {@link createContainer} has their order. */

/** Limit of Linux for a host name with its domain. */
const MAX_HOSTNAME = 64;
/** Modes of Docker's default network, and of none: such containers get an interface on the overlay. */
const ATTACHED_MODES: readonly string[] = ["", "default", "bridge", "none"];

/** weaveDNS, for containers. */
export interface DnsSettings {
  readonly address: string;
  readonly domain: string;
}

/** How containers are created. */
export interface CreateSettings {
  /** Folder on this host that holds the waiting helper. */
  readonly helper: string;
  /** Whether a container without WEAVE_CIDR gets an address. */
  readonly defaultIpalloc: boolean;
  /** Undefined: containers do not use weaveDNS. */
  readonly dns: DnsSettings | undefined;
  /** Label of a container that gives its host name; "" for none. */
  readonly hostnameFromLabel: string;
  readonly toHostname: (name: string) => string;
}

/** A client's description of a container. */
export interface CreateRequest {
  readonly body: JsonObject;
  /** Name of the container; "" where Docker chooses. */
  readonly name: string;
  readonly image: string;
  /** Docker's network mode; "" for the default one. */
  readonly mode: string;
  /** The Docker network that it names; undefined for the modes that are none. */
  readonly network: string | undefined;
  /** Whether it is to have an interface on the overlay. */
  readonly wantsAddress: boolean;
}

/** What the engine knows about the request. */
export interface CreateFacts {
  /** Undefined if the engine has no such image. */
  readonly image: Image | undefined;
  /** The network that it names, if our plugin drives it. */
  readonly network: { readonly internal: boolean } | undefined;
  readonly userNamespaces: boolean;
}

export type Decision =
  /** An interface on the overlay, for which it waits, a host name, and weaveDNS. */
  | "attach"
  /** On a network of our plugin: weaveDNS only. */
  | "name servers"
  | "leave alone";

export interface Rewritten {
  /** Undefined: the call passes unchanged. */
  readonly body: JsonObject | undefined;
  readonly warnings: readonly string[];
}

/** What a container runs, without the helper. */
interface Command {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** It began with the helper: the image is a commit of a container of ours, or the description a copy of one. */
  readonly wrapped: boolean;
}

const hostConfigOf = ({ HostConfig }: JsonObject): JsonObject => (isObject(HostConfig) ? HostConfig : {});

/** @throws WEAVE_ADDRESS_INVALID for an invalid WEAVE_CIDR */
export function parseCreate(
  body: JsonObject,
  name: string,
  { defaultIpalloc }: Pick<CreateSettings, "defaultIpalloc">,
): CreateRequest {
  const { NetworkMode } = hostConfigOf(body);
  const mode = typeof NetworkMode === "string" ? NetworkMode : "";
  const attached = ATTACHED_MODES.includes(mode);
  return {
    body,
    name,
    image: String(body.Image ?? ""),
    mode,
    network: attached || mode === "host" || mode.startsWith("container:") ? undefined : mode,
    wantsAddress: attached && wantedAddresses(stringsOf(body.Env), defaultIpalloc) !== undefined,
  };
}

/** Whether the proxy gives the container a host name. */
export const needsHostname = ({ body, wantsAddress }: CreateRequest, { dns }: CreateSettings): boolean =>
  wantsAddress && dns !== undefined && !body.Hostname && !body.Domainname;

export function decide(request: CreateRequest, facts: CreateFacts): Decision {
  if (facts.network !== undefined) return "name servers";
  // Docker itself reports a container that has nothing to run.
  return request.wantsAddress && commandOf(request, facts) !== undefined ? "attach" : "leave alone";
}

/** The container waits for the network, has a host name in our domain, and asks weaveDNS. */
export function attachRewrite(request: CreateRequest, facts: CreateFacts, settings: CreateSettings): Rewritten {
  const { body } = request;
  const warnings: string[] = [];
  const command = commandOf(request, facts)!;
  const folder = freeWaitFolder(mountsOf(body, facts));
  const host = withHelper(withoutHelper(body, settings), settings.helper, folder);
  return {
    body: {
      ...body,
      ...commandFields({ ...command, entrypoint: [waitCommand(folder), ...command.entrypoint] }),
      ...hostnameFields(request, facts, settings, warnings),
      HostConfig: withDns(host, settings.dns, searchOf(body, settings.dns), warnings),
    },
    warnings,
  };
}

/** A container on a network of our plugin asks weaveDNS. */
export function nameServerRewrite(request: CreateRequest, facts: CreateFacts, settings: CreateSettings): Rewritten {
  const { mode } = request;
  const { dns } = settings;
  const bare = withoutHelperRewrite(request, facts, settings);
  const warnings = [...bare.warnings];
  if (facts.network?.internal && dns !== undefined)
    warnings.push(
      `names of other hosts do not resolve on ${mode}: it is --internal, and from such a network Docker asks no name server. Addresses can be reached.`,
    );
  const body = bare.body ?? request.body;
  return { body: { ...body, HostConfig: withDns(hostConfigOf(body), dns, searchOf(body, dns), warnings) }, warnings };
}

/** A container that stays off the overlay runs without the helper, also when it is a copy of one that had it. */
export function withoutHelperRewrite(request: CreateRequest, facts: CreateFacts, settings: CreateSettings): Rewritten {
  const { body, mode } = request;
  const noEffect =
    !ATTACHED_MODES.includes(mode) && stringsOf(body.Env).some((each) => /^WEAVE_CIDR=(?!none$)/.test(each));
  const warnings = noEffect
    ? [
        `WEAVE_CIDR has no effect with --network ${mode}: weave's proxy serves containers on Docker's default network and --network none. Leave --network out, or give --network weave --ip.`,
      ]
    : [];
  const command = commandOf(request, facts);
  if (!command?.wrapped) return { body: undefined, warnings };
  return { body: { ...body, ...commandFields(command), HostConfig: withoutHelper(body, settings) }, warnings };
}

const commandFields = ({ entrypoint, command }: Command): JsonObject => ({ Entrypoint: entrypoint, Cmd: command });

/** The host's part of a description, without the helper's mount of the container that it is a copy of. */
function withoutHelper(body: JsonObject, { helper }: CreateSettings): JsonObject {
  const host = hostConfigOf(body);
  const folder = waitFolderOf(stringsOf(body.Entrypoint));
  const binds = stringsOf(host.Binds);
  const others = binds.filter((bind) => !bind.startsWith(`${helper}:`) && bindTarget(bind) !== folder);
  return others.length === binds.length ? host : { ...host, Binds: others };
}

/** @param folder where the container has the helper */
export function withHelper(host: JsonObject, helper: string, folder: string): JsonObject {
  const others = stringsOf(host.Binds).filter((bind) => bindTarget(bind) !== folder);
  return { ...host, Binds: [...others, `${helper}:${folder}:ro`] };
}

/**
 * @param search domains for short names, unless the user gives some
 * @param warnings gets one for a container that asks other name servers before weaveDNS
 */
export function withDns(
  host: JsonObject,
  dns: DnsSettings | undefined,
  search: readonly string[],
  warnings: string[] = [],
): JsonObject {
  if (dns === undefined) return host;
  const servers = stringsOf(host.Dns);
  const given = stringsOf(host.DnsSearch);
  if (servers.length > 0 && servers[0] !== dns.address)
    warnings.push(
      `this container asks ${servers[0]} (--dns) before weaveDNS: names in ${dns.domain} resolve only when that does not answer. Leave --dns out: weaveDNS asks the host's name servers for all other names.`,
    );
  return {
    ...host,
    Dns: servers.includes(dns.address) ? servers : [...servers, dns.address],
    DnsSearch: given.length > 0 ? given : search,
  };
}

/**
 * Domains for a container's short names: its own, if that is a sub-domain of ours, then ours. Ours is explicit also beside a host name in our
 * domain: container names that contain a dot are found by it.
 */
export function searchOf(body: JsonObject, dns: DnsSettings | undefined): string[] {
  if (dns === undefined) return [];
  const fqdn = [body.Hostname, body.Domainname].filter((part) => typeof part === "string" && part !== "").join(".");
  const own = `${fqdn.slice(fqdn.indexOf(".") + 1).replace(/\.$/, "")}.`;
  return inDomain(fold(own), fold(dns.domain)) && fold(own) !== fold(dns.domain) ? [own, dns.domain] : [dns.domain];
}

/**
 * What the container runs, by Docker's rules: an entrypoint in the description drops the image's command, an empty one drops
 * the image's entrypoint.
 *
 * @returns undefined when there is nothing to run, or no such image
 */
function commandOf({ body }: CreateRequest, { image }: CreateFacts): Command | undefined {
  const given = stringsOf(body.Entrypoint);
  let entrypoint: readonly string[] = given.length === 1 && given[0] === "" ? [] : given;
  let command = stringsOf(body.Cmd);
  if (given.length === 0) {
    if (image === undefined) return undefined;
    if (command.length === 0) command = [...wordsOf(image.Config?.Cmd ?? [])];
    entrypoint = wordsOf(image.Config?.Entrypoint ?? []);
  }
  if (entrypoint.length + command.length === 0) return undefined;
  return { entrypoint: withoutWait(entrypoint), command, wrapped: waitFolderOf(entrypoint) !== undefined };
}

/** Paths where a container has mounts or volumes of its own. */
function mountsOf(body: JsonObject, { image }: CreateFacts): string[] {
  const host = hostConfigOf(body);
  const keys = (value: unknown) => (isObject(value) ? Object.keys(value) : []);
  const mounts = Array.isArray(host.Mounts) ? host.Mounts.filter(isObject) : [];
  return [
    ...stringsOf(host.Binds),
    ...mounts.flatMap(({ Target }) => stringsOf(Target)),
    ...keys(host.Tmpfs),
    ...keys(body.Volumes),
    ...keys(image?.Config?.Volumes),
  ].map(bindTarget);
}

/** A host name in our domain, made of the container's label or name, unless the user gives one. */
function hostnameFields(
  request: CreateRequest,
  { userNamespaces }: CreateFacts,
  settings: CreateSettings,
  warnings: string[],
): JsonObject {
  const { body, name } = request;
  const { dns, hostnameFromLabel, toHostname } = settings;
  if (dns === undefined || !needsHostname(request, settings)) return {};
  const label = isObject(body.Labels) && hostnameFromLabel !== "" ? body.Labels[hostnameFromLabel] : undefined;
  const hostname = toHostname(typeof label === "string" && label !== "" ? label : name);
  if (hostname === "") return {};
  const domain = dns.domain.replace(/\.$/, "");
  if (hostname.length + 1 + domain.length > MAX_HOSTNAME) {
    warnings.push(`Container name [${hostname}] too long to be used as hostname`);
    return {};
  }
  // Docker sets the domain by a sysctl that a user namespace must not write: such a container would not start.
  const mapped = userNamespaces && hostConfigOf(body).UsernsMode !== "host";
  return mapped ? { Hostname: `${hostname}.${domain}` } : { Hostname: hostname, Domainname: domain };
}
