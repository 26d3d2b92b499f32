import { call } from "#cli/support/client.js";
import { Exit } from "#cli/support/exit.js";

/** `weave dns-args`: prints the flags of `docker run` for weaveDNS, without a newline; nothing when weaveDNS is off. */
export async function run(): Promise<void> {
  const [address, domain] = await Promise.all([call({ path: "/dns-address" }), call({ path: "/domain" })]);
  if (address.status === 404) return;
  if (address.status !== 200) throw new Exit(1, address.body.trimEnd());
  process.stdout.write(`--dns=${address.body} --dns-search=${domain.body}`);
}
