import type { IncomingMessage, ServerResponse } from "node:http";
import type { Engine } from "#docker/engine/engine.js";
import type { Image } from "#docker/engine/shapes.js";
import { type ProxyCall, queryOf } from "#docker/proxy/call.js";
import {
  attachRewrite,
  type CreateFacts,
  type CreateRequest,
  type CreateSettings,
  decideCreate,
  type NetworkFacts,
  nameServerRewrite,
  needsHostname,
  parseCreate,
  type Rewritten,
  withoutHelperRewrite,
} from "#docker/proxy/create-rewrite.js";
import { type JsonObject, stringsOf } from "#docker/proxy/json.js";
import { bytesOf, changeBody, readJson } from "#docker/proxy/json-body.js";
import { forwardAnswer, forwardRequest } from "#docker/proxy/pipe.js";
import type { Log } from "#src/log.js";

export interface CreateDeps {
  readonly engine: Engine;
  /** Whether our plugin drives the Docker network with this id. */
  readonly isOurNetwork: (network: string) => boolean;
  /** Returns the current settings. */
  readonly settings: () => Promise<CreateSettings>;
  readonly log: Log;
}

/**
 * Handles `POST /containers/create`. The container waits for its interface when it starts, has a host name in our domain, and uses
 * weaveDNS.
 */
export async function createContainer({ request, response }: ProxyCall, deps: CreateDeps): Promise<void> {
  const { engine, log } = deps;
  const warnings: string[] = [];

  const { bytes, warning } = await changeBody(request, log, async (given) => {
    const name = queryOf(request, "name");
    const rewritten = await rewriteCreate(given, name, await deps.settings(), engineLookups(deps));
    warnings.push(...rewritten.warnings);
    return rewritten.body;
  });
  if (warning !== undefined) warnings.push(warning);

  const answer = await forwardRequest({ address: engine.address, request, body: bytes });
  await answerWithWarnings(answer, response, warnings);
}

/** Queries to the engine about a container that is to be created. */
export interface CreateLookups {
  /** Inspects an image. @throws when there is no such image */
  image(name: string): Promise<Image>;
  /** Inspects a network. @throws when there is no such network */
  network(name: string): Promise<NetworkFacts>;
  /** Whether containers have their own user namespace. */
  userNamespaces(): Promise<boolean>;
  /** Whether the engine gives a container no domain beside its host name, as Podman does. */
  ignoresDomain(): boolean;
  /** Whether containers belong to a user without root's rights, who can read no folder of weave's. */
  rootless(): Promise<boolean>;
}

/**
 * Rewrites a client's description of a container: parses it, looks up facts in the engine, decides, and rewrites. Only the second step
 * does I/O.
 *
 * @param name the container's name; "" if Docker chooses it
 * @throws WEAVE_ADDRESS_INVALID for an invalid WEAVE_CIDR
 */
export async function rewriteCreate(
  given: JsonObject,
  name: string,
  settings: CreateSettings,
  lookups: CreateLookups,
): Promise<Rewritten> {
  const request = parseCreate(given, name, settings);
  const facts = await lookUp(request, settings, lookups);
  switch (decideCreate(request, facts)) {
    case "attach":
      return attachRewrite(request, facts, settings);
    case "name servers":
      return nameServerRewrite(request, facts, settings);
    case "leave alone":
      return withoutHelperRewrite(request, facts, settings);
  }
}

async function lookUp(request: CreateRequest, settings: CreateSettings, lookups: CreateLookups): Promise<CreateFacts> {
  return {
    // For a missing image Docker itself answers with an error; its client then pulls the image.
    image: await lookups.image(request.image).catch(() => undefined),
    networks: await Promise.all(request.networks.map((name) => lookups.network(name))),
    userNamespaces: needsHostname(request, settings) && (await lookups.userNamespaces()),
    ignoresDomain: lookups.ignoresDomain(),
    rootless: request.wantsAddress && (await lookups.rootless()),
  };
}

const engineLookups = ({ engine, isOurNetwork }: CreateDeps): CreateLookups => ({
  image: (name) => engine.image(name),
  network: async (name) => {
    const { Id, Internal } = await engine.network(name);
    return { ours: isOurNetwork(Id), internal: Internal };
  },
  userNamespaces: () => engine.userNamespaces(),
  ignoresDomain: () => engine.isPodman,
  rootless: () => engine.isRootlessPodman(),
});

/** Forwards the engine's answer, with our warnings added to its own. */
async function answerWithWarnings(answer: IncomingMessage, response: ServerResponse, warnings: readonly string[]) {
  if (warnings.length === 0 || answer.statusCode !== 201) return forwardAnswer(answer, response);
  const { bytes, json } = await readJson(answer);
  if (json !== undefined) json.Warnings = [...stringsOf(json.Warnings), ...warnings];
  forwardAnswer(answer, response, json === undefined ? bytes : bytesOf(json));
}
