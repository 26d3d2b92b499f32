import type { AddressResult } from "#cli/support/address-arguments.js";
import { type ApiCall, callJson } from "#cli/support/client.js";
import { callExplainingWait } from "#cli/support/patience.js";
import { EXPOSED } from "#src/ident.js";

/** The router's information about a container or namespace. */
export interface AttachmentInfo {
  /** Holder of addresses and names. */
  readonly ident: string;
  /** A container's own name; missing if it has no domain. */
  readonly fqdn?: string;
  /** False for a namespace without a container. */
  readonly container: boolean;
  /** Addresses on the overlay, in CIDR notation. */
  readonly addresses: readonly string[];
}

/** Form with address arguments. @param words an empty list stands for the default subnet */
export function addressForm(words: readonly string[]): URLSearchParams {
  return new URLSearchParams(words.map((word): [string, string] => ["address", word]));
}

/** Attaches a target. @throws WeaveError */
export async function attach(target: string, form: URLSearchParams): Promise<AddressResult> {
  const call = { method: "POST", path: pathOf(target), form };
  let known = target === EXPOSED ? EXPOSED : undefined;
  const holder = async () => {
    known ??= (await attachmentInfo(target)).ident;
    return known;
  };
  return callJson(call, (options: ApiCall) => callExplainingWait(holder, options));
}

/** Removes addresses from a target. @throws WeaveError */
export async function detach(target: string, form: URLSearchParams): Promise<AddressResult> {
  const path = `${pathOf(target)}?${form}`;
  return { ...(await callJson<Pick<AddressResult, "addresses">>({ method: "DELETE", path })), warnings: [] };
}

/** Requests information about a target. @throws WeaveError when there is no such target */
export const attachmentInfo = (target: string): Promise<AttachmentInfo> => callJson({ path: pathOf(target) });

/** API path of a target as typed. In `/proc/self/…`, `self` is this command's process, not the router's. */
const pathOf = (target: string): string =>
  `/attachments/${encodeURIComponent(target.replace(/^\/proc\/self\//, `/proc/${process.pid}/`))}`;
