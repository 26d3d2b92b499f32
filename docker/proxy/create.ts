import { fold, inDomain } from "#dns/name.js";
import { wantedAddresses } from "#docker/addresses/weave-cidr.js";
import { type Image, wordsOf } from "#docker/engine/shapes.js";
import { isObject, type JsonObject, stringsOf } from "#docker/proxy/json.js";
import { bindTarget, freeWaitFolder, waitCommand, waitFolderOf, withoutWait } from "#docker/wait/helper.js";
import { isWrapped, type WaitConfig } from "#docker/wait/wrapped.js";

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
  /** A network that our plugin drives; undefined for others. */
  ourNetwork(name: string): Promise<{ readonly internal: boolean } | undefined>;
  /** Whether the engine gives containers a user namespace of their own. */
  userNamespaces(): Promise<boolean>;
}

export interface Created {
  /** Undefined: the call is to go on as it came. */
  readonly body: JsonObject | undefined;
  readonly warnings: readonly string[];
}

/** What a container is to run, without the helper. */
interface Command {
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** It began with the helper: its image is a commit of a container of ours, or it is a copy of one. */
  readonly wrapped: boolean;
  /** Where the image has volumes. */
  readonly volumes: readonly string[];
}

/**
 * Changes the body of `POST /containers/create` so that the container waits for the network, has a host name in our domain
 * and asks weaveDNS.
 *
 * @param name the container's, "" where Docker chooses
 * @throws WEAVE_ADDRESS_INVALID for a WEAVE_CIDR that cannot be
 */
export async function rewriteCreate(body: JsonObject, name: string, context: CreateContext): Promise<Created> {
  const host: JsonObject = isObject(body.HostConfig) ? body.HostConfig : {};
  const command = await commandOf(body, context);
  const bare = command?.wrapped
    ? { ...body, ...fields(command), HostConfig: withoutHelper(body, host, context) }
    : undefined;
  const mode = typeof host.NetworkMode === "string" ? host.NetworkMode : "";
  if (!["", "default", "bridge", "none"].includes(mode)) return onOtherNetwork(bare ?? body, mode, context, bare);
  const wanted = wantedAddresses(stringsOf(body.Env), context.defaultIpalloc);
  // Docker says itself what is wrong with a container that has nothing to run, and pulls an image that is missing.
  if (wanted === undefined || command === undefined) return { body: bare, warnings: [] };
  const warnings: string[] = [];
  const hostname = await hostnameOf(body, name, context, warnings);
  const folder = freeWaitFolder(mountsOf(body, host, command));
  return {
    body: {
      ...body,
      ...fields({ ...command, entrypoint: [waitCommand(folder), ...command.entrypoint] }),
      ...hostname,
      HostConfig: withDns(
        withHelper(withoutHelper(body, host, context), context.helper, folder),
        context,
        searchOf(body, context),
        warnings,
      ),
    },
    warnings,
  };
}

/** @param untouched what to answer when nothing is to be changed for us */
async function onOtherNetwork(
  body: JsonObject,
  mode: string,
  context: CreateContext,
  untouched: JsonObject | undefined,
): Promise<Created> {
  const warnings: string[] = [];
  if (stringsOf(body.Env).some((each) => /^WEAVE_CIDR=(?!none$)/.test(each)))
    warnings.push(
      `WEAVE_CIDR has no effect with --network ${mode}: weave's proxy serves containers on Docker's default network and --network none. Leave --network out, or give --network weave --ip.`,
    );
  const ours = mode === "host" || mode.startsWith("container:") ? undefined : await context.ourNetwork(mode);
  if (ours === undefined) return { body: untouched, warnings };
  if (ours.internal && context.dns !== undefined)
    warnings.push(
      `names of other hosts do not resolve on ${mode}: it is --internal, and from such a network Docker asks no name server. Addresses can be reached.`,
    );
  // On a network of ours names are weaveDNS's too, once somebody says where it is.
  const host: JsonObject = isObject(body.HostConfig) ? body.HostConfig : {};
  return { body: { ...body, HostConfig: withDns(host, context, searchOf(body, context), warnings) }, warnings };
}

const fields = ({ entrypoint, command }: Command): JsonObject => ({ Entrypoint: entrypoint, Cmd: command });

/** Without the bind of a container of ours that this one is a copy of. */
function withoutHelper(body: JsonObject, host: JsonObject, { helper }: CreateContext): JsonObject {
  const folder = waitFolderOf(stringsOf(body.Entrypoint));
  const binds = stringsOf(host.Binds);
  const others = binds.filter((bind) => !bind.startsWith(`${helper}:`) && bindTarget(bind) !== folder);
  return others.length === binds.length ? host : { ...host, Binds: others };
}

/** @param folder where the container is to have it */
export function withHelper(host: JsonObject, helper: string, folder: string): JsonObject {
  const others = stringsOf(host.Binds).filter((bind) => bindTarget(bind) !== folder);
  return { ...host, Binds: [...others, `${helper}:${folder}:ro`] };
}

/**
 * @param search where to search for short names, unless the user says
 * @param warnings gets one for a container that asks others before weaveDNS
 */
export function withDns(
  host: JsonObject,
  { dns }: Pick<CreateContext, "dns">,
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
 * The domains in which a container's short names are searched: its own, where that is a sub-domain of ours, then ours. Ours is
 * written down also for a host name that we gave: names of containers with a dot in them are found by it.
 */
export function searchOf(body: JsonObject, { dns }: Pick<CreateContext, "dns">): string[] {
  if (dns === undefined) return [];
  const fqdn = [body.Hostname, body.Domainname].filter((part) => typeof part === "string" && part !== "").join(".");
  const own = `${fqdn.slice(fqdn.indexOf(".") + 1).replace(/\.$/, "")}.`;
  return inDomain(fold(own), fold(dns.domain)) && fold(own) !== fold(dns.domain) ? [own, dns.domain] : [dns.domain];
}

/**
 * What the container is to run, by Docker's own rules: a given entrypoint drops the image's command, an empty one drops the
 * image's entrypoint.
 *
 * @returns undefined when there is nothing to run, or no such image
 */
async function commandOf(body: JsonObject, context: CreateContext): Promise<Command | undefined> {
  const given = stringsOf(body.Entrypoint);
  const image = await context.image(String(body.Image ?? "")).catch(() => undefined);
  let entrypoint: readonly string[] = given.length === 1 && given[0] === "" ? [] : given;
  let command = stringsOf(body.Cmd);
  if (given.length === 0) {
    if (image === undefined) return undefined;
    if (command.length === 0) command = [...wordsOf(image.Config?.Cmd ?? [])];
    entrypoint = wordsOf(image.Config?.Entrypoint ?? []);
  }
  if (entrypoint.length + command.length === 0) return undefined;
  return {
    entrypoint: withoutWait(entrypoint),
    command,
    wrapped: waitFolderOf(entrypoint) !== undefined,
    volumes: Object.keys(image?.Config?.Volumes ?? {}),
  };
}

/** Where a container has something of its own, apart from what the image itself contains. */
function mountsOf(body: JsonObject, host: JsonObject, { volumes }: Command): string[] {
  const keys = (value: unknown) => (isObject(value) ? Object.keys(value) : []);
  const mounts = Array.isArray(host.Mounts) ? host.Mounts.filter(isObject) : [];
  return [
    ...stringsOf(host.Binds),
    ...mounts.flatMap(({ Target }) => stringsOf(Target)),
    ...keys(host.Tmpfs),
    ...keys(body.Volumes),
    ...volumes,
  ].map(bindTarget);
}

/** A host name in our domain, made of the container's name or label, unless the user gave one. */
async function hostnameOf(
  body: JsonObject,
  name: string,
  context: CreateContext,
  warnings: string[],
): Promise<JsonObject> {
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
  // Docker sets the domain by a sysctl that a user namespace may not write: such a container would not start.
  const mapped =
    !(isObject(body.HostConfig) && body.HostConfig.UsernsMode === "host") && (await context.userNamespaces());
  return mapped ? { Hostname: `${hostname}.${domain}` } : { Hostname: hostname, Domainname: domain };
}

/**
 * Changes the body of `POST /commit` of a container of ours so that the image runs what the container was to run: Docker takes what
 * the body leaves out from the container.
 *
 * @returns undefined when there is nothing to change
 */
export function rewriteCommit(body: JsonObject, container: WaitConfig): JsonObject | undefined {
  const given = stringsOf(body.Entrypoint);
  if (!isWrapped(container) || (given.length > 0 && waitFolderOf(given) === undefined)) return undefined;
  const entrypoint = given.length > 0 ? given : wordsOf(container.Config.Entrypoint);
  const command = stringsOf(body.Cmd);
  return {
    ...body,
    Entrypoint: withoutWait(entrypoint),
    Cmd: command.length > 0 ? command : wordsOf(container.Config.Cmd),
  };
}
