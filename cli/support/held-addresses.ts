import { type Call, call } from "#cli/support/client.js";
import { Exit } from "#cli/support/exit.js";
import { launchedBridge } from "#cli/support/launched.js";
import { parseCidr } from "#src/address.js";
import type { AddressArgument } from "#src/address-argument.js";
import { overlappingRoute } from "#src/linux/routes/routes.js";

/** Somebody who waits is told for what, after this long, and again when it changes. */
const EXPLAIN_MS = 3_000;

const pathOf = (ident: string, cidr = ""): string => `/ip/${encodeURIComponent(ident)}${cidr === "" ? "" : `/${cidr}`}`;

export interface ObtainOptions {
  /** Whether the death of the holder frees the address. */
  readonly container: boolean;
  /** Seconds to wait; without end if left out. */
  readonly timeout: number | undefined;
  /** What it has on its interface, in CIDR notation: asked for where IPAM is off, and cannot say. */
  present(): Promise<readonly string[]>;
}

/** Addresses that were given to a holder, and how to give back those that it did not have before. */
export interface Obtained {
  readonly addresses: readonly string[];
  /** Those of them that it did not have before. */
  readonly fresh: readonly string[];
  undo(): Promise<void>;
}

/**
 * Gets addresses for a holder: allocates those to be allocated, claims those that are named. Without IPAM named ones are
 * taken as they are.
 *
 * @throws Exit; then nothing new is held
 */
export async function obtain(
  ident: string,
  wanted: readonly AddressArgument[],
  { container, timeout, present }: ObtainOptions,
): Promise<Obtained> {
  const before = new Set((await heldBy(ident)) ?? (await present()));
  const addresses: string[] = [];
  const fresh: string[] = [];
  const undo = () => release(ident, fresh);
  const form = timeoutForm(timeout);
  if (container) form.set("check-alive", "true");
  try {
    for (const address of wanted) {
      const cidr = await obtainOne(ident, address, form);
      addresses.push(cidr);
      if (!before.has(cidr)) fresh.push(cidr);
    }
  } catch (error) {
    await undo();
    throw error;
  }
  return { addresses, fresh, undo };
}

/** @param timeout in seconds */
export const timeoutForm = (timeout: number | undefined): URLSearchParams =>
  new URLSearchParams(timeout === undefined ? {} : { timeout: String(timeout) });

async function obtainOne(ident: string, address: AddressArgument, form: URLSearchParams): Promise<string> {
  if (address.kind === "net") {
    const { status, body } = await patiently(ident, { method: "POST", path: pathOf(ident, address.subnet), form });
    if (status === 404) throw new Exit(1, "IP address allocation must be enabled to use 'net:'");
    if (status !== 200) throw new Exit(1, body.trimEnd());
    return body;
  }
  const route = await overlappingRoute(address.cidr, launchedBridge()).catch(() => undefined);
  if (route !== undefined)
    process.stderr.write(`Network ${address.cidr} overlaps with existing route ${route} on host\n`);
  const { status, body } = await patiently(ident, { method: "PUT", path: pathOf(ident, address.cidr), form });
  if (status !== 204 && status !== 404) throw new Exit(1, body.trimEnd());
  const { subnet, prefix } = parseCidr(address.cidr);
  if (prefix < 31 && address.cidr === subnet)
    process.stderr.write(
      `Note: ${address.cidr.split("/")[0]} is the network address of ${subnet}; some programs treat it as a broadcast address\n`,
    );
  return address.cidr;
}

/** What a holder has of what was named: never waits, never allocates. */
export async function held(ident: string, wanted: readonly AddressArgument[]): Promise<string[]> {
  const found: string[] = [];
  for (const address of wanted) {
    if (address.kind === "ip") found.push(address.cidr);
    else {
      const { status, body } = await call({ path: pathOf(ident, address.subnet) });
      if (status === 404) throw new Exit(1, "IP address allocation must be enabled to use 'net:'");
      if (status !== 200) throw new Exit(1, body.trimEnd());
      found.push(...body.split(" ").filter((cidr) => cidr !== ""));
    }
  }
  return found;
}

/** Gives addresses back. What IPAM does not know is no error: it was never allocated. */
export async function release(ident: string, addresses: readonly string[]): Promise<void> {
  for (const cidr of addresses) await call({ method: "DELETE", path: `${pathOf(ident)}/${cidr.split("/")[0]}` });
}

/** All that a holder has, wherever it is; undefined where IPAM is off. */
async function heldBy(ident: string): Promise<string[] | undefined> {
  const { status, body } = await call({ path: pathOf(ident, "0.0.0.0/0") });
  return status === 200 ? body.split(" ") : undefined;
}

/** A call that may take long: tells on standard error what it waits for. @param ident "" for all that waits */
export async function patiently(ident: string, options: Call): Promise<{ status: number; body: string }> {
  let told = "";
  const timer = setInterval(async () => {
    const path = `/ipinfo/waiting?${new URLSearchParams(ident === "" ? {} : { ident })}`;
    const { body } = await call({ path }).catch(() => ({ body: "" }));
    // The time that has passed is no news.
    const gist = body.replace(/\(for [^)]*\)/g, "");
    if (gist === "" || gist === told) return;
    told = gist;
    process.stderr.write(body);
  }, EXPLAIN_MS);
  try {
    return await call(options);
  } finally {
    clearInterval(timer);
  }
}
