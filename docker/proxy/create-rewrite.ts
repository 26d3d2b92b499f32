import { fold, inDomain } from "#dns/name.js";
import { wantedAddresses } from "#docker/addresses/weave-cidr.js";
import { type Image, wordsOf } from "#docker/engine/shapes.js";
import { isObject, type JsonObject, stringsOf } from "#docker/proxy/json.js";
import { bindTarget, freeWaitFolder, waitCommand, waitFolderOf, withoutWait } from "#docker/wait/helper.js";

/** The pure steps of a container's creation through the proxy; `rewriteCreate` (create-call.ts) runs them. */

/** Limit of Linux for a host name with its domain, in characters (__NEW_UTS_LEN). */
const MAX_HOSTNAME = 64;
/** Docker's network modes in which the proxy attaches a container: the default network, and none. */
const ATTACHED_MODES: readonly string[] = ["", "default", "bridge", "none"];

/** Limit for the networks of a container that are looked up. */
const MAX_NETWORKS = 16;
/** Label of all containers of Compose. */
const COMPOSE_LABEL = "com.docker.compose.project";
/** Name that Compose gives to a container that replaces another one: the id of the other one and its name. Compose renames it later. */
const COMPOSE_REPLACEMENT = /^[0-9a-f]{12}_(?=.)/;

/** weaveDNS, as containers use it. */
export interface DnsSettings {
  readonly address: string;
  readonly domain: string;
}

/** Settings for the containers that the proxy creates. */
export interface CreateSettings {
  /** Folder on this host that holds the waiting helper. */
  readonly helper: string;
  /** Whether a container without WEAVE_CIDR gets an address. */
  readonly defaultIpalloc: boolean;
  /** Undefined: containers do not use weaveDNS. */
  readonly dns: DnsSettings | undefined;
  /** Label that contains a container's host name; "" for none. */
  readonly hostnameFromLabel: string;
  /** Makes a host name from a container's name. */
  readonly toHostname: (name: string) => string;
}

/** A client's request to create a container. */
export interface CreateRequest {
  /** The client's description of the container. */
  readonly body: JsonObject;
  /** Name of the container; "" if Docker chooses it. */
  readonly name: string;
  readonly image: string;
  /** Docker's network mode; "" for the default. */
  readonly mode: string;
  /** The Docker networks that the request names, the mode's first. Before API 1.44 clients connect a created container to further ones. */
  readonly networks: readonly string[];
  /** Whether the container is to have an interface on the overlay. */
  readonly wantsAddress: boolean;
}

/** The engine's facts about a network. */
export interface NetworkFacts {
  /** Whether our plugin drives it. */
  readonly ours: boolean;
  readonly internal: boolean;
}

/** The engine's facts about a request. */
export interface CreateFacts {
  /** Undefined if the engine has no such image. */
  readonly image: Image | undefined;
  /** The networks that the request names, in its order. */
  readonly networks: readonly NetworkFacts[];
  /** Whether containers have their own user namespace; false if the host name does not depend on it. */
  readonly userNamespaces: boolean;
  /** Whether the engine gives a container no domain beside its host name. */
  readonly ignoresDomain: boolean;
  /** Whether containers belong to a user without root's rights; false if the container stays off the overlay anyway. */
  readonly rootless: boolean;
}

/** How the proxy changes a container. */
export type CreateDecision =
  /** It waits for an interface on the overlay, has a host name in our domain, and uses weaveDNS. */
  | "attach"
  /** It is on a network of our plugin, and uses weaveDNS. */
  | "name servers"
  | "leave alone";

/** Result of a rewrite. */
export interface Rewritten {
  /** The new description; undefined if the call passes unchanged. */
  readonly body: JsonObject | undefined;
  /** Warnings for the user. */
  readonly warnings: readonly string[];
}

/** The command of a container, without the helper. */
interface Command {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** Whether it began with the helper: the image or the description comes from a container that the proxy created. */
  readonly wrapped: boolean;
}

const hostConfigOf = ({ HostConfig }: JsonObject): JsonObject => (isObject(HostConfig) ? HostConfig : {});

/** Parses a client's description. @throws WEAVE_ADDRESS_INVALID for an invalid WEAVE_CIDR */
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
    networks: attached || mode === "host" || mode.startsWith("container:") ? [] : networksOf(body, mode),
    wantsAddress: attached && wantedAddresses(stringsOf(body.Env), defaultIpalloc) !== undefined,
  };
}

/** The networks of a description: the mode's, and those of its endpoints. */
function networksOf({ NetworkingConfig }: JsonObject, mode: string): string[] {
  const endpoints = isObject(NetworkingConfig) ? NetworkingConfig.EndpointsConfig : undefined;
  return [...new Set([mode, ...Object.keys(isObject(endpoints) ? endpoints : {})])].slice(0, MAX_NETWORKS);
}

/** Whether the proxy sets the container's host name: the user did not. */
export const needsHostname = ({ body, wantsAddress }: CreateRequest, { dns }: CreateSettings): boolean =>
  wantsAddress && dns !== undefined && !body.Hostname && !body.Domainname;

/** Decides how the proxy changes a container. */
export function decideCreate(request: CreateRequest, facts: CreateFacts): CreateDecision {
  if (facts.networks.some(({ ours }) => ours)) return "name servers";
  if (facts.rootless) return "leave alone";
  // A container without a command stays unchanged: Docker itself reports the error.
  return request.wantsAddress && commandOf(request, facts) !== undefined ? "attach" : "leave alone";
}

/** Rewrites a container that waits for its interface, has a host name in our domain, and uses weaveDNS. */
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

/** Rewrites a container on a network of our plugin: it uses weaveDNS. */
export function nameServerRewrite(request: CreateRequest, facts: CreateFacts, settings: CreateSettings): Rewritten {
  const { dns } = settings;
  const bare = withoutHelperRewrite(request, facts, settings);
  const warnings = [...bare.warnings];
  if (facts.networks.every(({ internal }) => internal) && dns !== undefined)
    warnings.push(
      `names of other hosts do not resolve on ${request.networks.join(" and ")}: it is --internal, and Docker forwards no DNS query from such a network. Addresses can be reached, and names if the container is on another network too.`,
    );
  const body = bare.body ?? request.body;
  return { body: { ...body, HostConfig: withDns(hostConfigOf(body), dns, searchOf(body, dns), warnings) }, warnings };
}

/** Removes the helper from a container that stays off the overlay, if it is a copy of one with the helper. */
export function withoutHelperRewrite(request: CreateRequest, facts: CreateFacts, settings: CreateSettings): Rewritten {
  const { body, mode } = request;
  const warnings = [
    ...(facts.rootless
      ? [
          "the container is not on the weave network: weave's proxy does not serve rootless Podman. Root attaches a running container with 'weave attach'.",
        ]
      : []),
    ...(!ATTACHED_MODES.includes(mode) && stringsOf(body.Env).some((each) => /^WEAVE_CIDR=(?!none$)/.test(each))
      ? [
          `WEAVE_CIDR has no effect with --network ${mode}: weave's proxy serves containers on Docker's default network and --network none. Leave --network out (in Compose: network_mode: bridge), or give --network weave --ip (ipv4_address).`,
        ]
      : []),
  ];
  const command = commandOf(request, facts);
  if (!command?.wrapped) return { body: undefined, warnings };
  return { body: { ...body, ...commandFields(command), HostConfig: withoutHelper(body, settings) }, warnings };
}

const commandFields = ({ entrypoint, command }: Command): JsonObject => ({ Entrypoint: entrypoint, Cmd: command });

/** The HostConfig of a description without the helper's mount, which it has as a copy of a container that the proxy created. */
function withoutHelper(body: JsonObject, { helper }: CreateSettings): JsonObject {
  const host = hostConfigOf(body);
  const folder = waitFolderOf(stringsOf(body.Entrypoint));
  const binds = stringsOf(host.Binds);
  const others = binds.filter((bind) => !bind.startsWith(`${helper}:`) && bindTarget(bind) !== folder);
  return others.length === binds.length ? host : { ...host, Binds: others };
}

/** Adds the helper's mount to a HostConfig. @param helper its folder on this host @param folder its folder in the container */
export function withHelper(host: JsonObject, helper: string, folder: string): JsonObject {
  const others = stringsOf(host.Binds).filter((bind) => bindTarget(bind) !== folder);
  return { ...host, Binds: [...others, `${helper}:${folder}:ro`] };
}

/**
 * Adds weaveDNS to a HostConfig.
 *
 * @param search domains for short names, unless the user chose some
 * @param warnings receives a warning if the container queries another name server before weaveDNS
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
      `this container queries ${servers[0]} (--dns) before weaveDNS: names in ${dns.domain} resolve only when that server does not answer. Leave --dns out: weaveDNS forwards all other names to the host's name servers.`,
    );
  return {
    ...host,
    Dns: servers.includes(dns.address) ? servers : [...servers, dns.address],
    DnsSearch: given.length > 0 ? given : search,
  };
}

/**
 * Domains in which a container's short names are searched: its own domain if that is a sub-domain of ours, then ours. Ours is explicit even
 * if the host name is in it, so that container names with a dot are found.
 */
export function searchOf(body: JsonObject, dns: DnsSettings | undefined): string[] {
  if (dns === undefined) return [];
  const fqdn = [body.Hostname, body.Domainname].filter((part) => typeof part === "string" && part !== "").join(".");
  const own = `${fqdn.slice(fqdn.indexOf(".") + 1).replace(/\.$/, "")}.`;
  return inDomain(fold(own), fold(dns.domain)) && fold(own) !== fold(dns.domain) ? [own, dns.domain] : [dns.domain];
}

/**
 * The container's command by Docker's rules: an entrypoint in the description replaces the image's entrypoint and drops the image's
 * command; an entrypoint of one empty word drops both.
 *
 * @returns undefined when there is no command, or no such image
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

/** Paths in the container of the mounts and volumes that the user or the image defines. */
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

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";

/**
 * Fields for a host name in our domain, made from the container's label or name; none if the user chose one, except that an engine without
 * domains has the user's domain in the host name.
 */
function hostnameFields(
  request: CreateRequest,
  { userNamespaces, ignoresDomain }: CreateFacts,
  settings: CreateSettings,
  warnings: string[],
): JsonObject {
  const { body, name } = request;
  const { dns, hostnameFromLabel, toHostname } = settings;
  if (ignoresDomain && isText(body.Hostname) && isText(body.Domainname) && !body.Hostname.includes(".")) {
    const fqdn = `${body.Hostname}.${body.Domainname}`;
    return fqdn.length > MAX_HOSTNAME ? {} : { Hostname: fqdn };
  }
  if (dns === undefined || !needsHostname(request, settings)) return {};
  const labels = isObject(body.Labels) ? body.Labels : {};
  const label = hostnameFromLabel === "" ? undefined : labels[hostnameFromLabel];
  const lasting = Object.hasOwn(labels, COMPOSE_LABEL) ? name.replace(COMPOSE_REPLACEMENT, "") : name;
  const hostname = toHostname(typeof label === "string" && label !== "" ? label : lasting);
  if (hostname === "") return {};
  const domain = dns.domain.replace(/\.$/, "");
  if (hostname.length + 1 + domain.length > MAX_HOSTNAME) {
    warnings.push(`Container name [${hostname}] too long to be used as hostname`);
    return {};
  }
  // Docker sets the domain by a sysctl that is read-only in a user namespace: the container would not start.
  const mapped = userNamespaces && hostConfigOf(body).UsernsMode !== "host";
  return mapped || ignoresDomain ? { Hostname: `${hostname}.${domain}` } : { Hostname: hostname, Domainname: domain };
}
