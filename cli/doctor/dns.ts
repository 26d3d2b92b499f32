import { createSocket } from "node:dgram";
import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import { addressOfCidr } from "#src/address.js";
import { findLink, ipv4Of } from "#src/linux/links/links.js";
import { endpoint, udpType } from "#src/net/endpoint.js";
import { hostOf, hostPortText, portOf } from "#src/net/host-port.js";

/** Limit for weaveDNS's answer, which it has at once. */
const ANSWER_MS = 1_000;
/** Head of a query: identifier, recursion desired, one question (RFC 1035, 4.1.1). */
const HEAD = [0x57, 0x45, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
/** Its end: the root, type A, class IN (4.1.2). */
const TAIL = [0, 0, 1, 0, 1];

/** A query for a name of our own domain that does not exist: weaveDNS answers it by itself. */
function queryIn(domain: string): Buffer {
  const labels = ["weave-doctor", ...domain.split(".").filter((label) => label !== "")];
  const parts = labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([Buffer.from(HEAD), ...parts, Buffer.from(TAIL)]);
}

/**
 * Whether weaveDNS answers queries from the addresses of the bridges. They are this host's own, so rules that match a bridge as the
 * interface of packets are not passed: a container's own query is the last proof.
 */
export const dnsCheck: DoctorCheck = {
  name: "weaveDNS",
  async run({ report, bridge, launched }) {
    if (report === undefined) return [ok("known when a router runs")];
    const { DNS } = report;
    if (DNS === undefined) return [ok("off: launched with --no-dns")];
    if (DNS.Problem !== "")
      return [
        {
          level: "fail",
          what: DNS.Problem.replaceAll("\n", " "),
          remedy: "free the port, or use --dns-listen-address",
        },
      ];
    const [host, port] = [hostOf(DNS.Address), portOf(DNS.Address)];
    const links = await Promise.all([launched.docker?.bridge ?? "docker0", bridge].map((name) => findLink(name)));
    const sources = links.flatMap((link) =>
      link === undefined
        ? []
        : ipv4Of(link)
            .slice(0, 1)
            .map((cidr) => ({ name: link.ifname, address: addressOfCidr(cidr) })),
    );
    const used = sources.length > 0 && !host.startsWith("127.") ? sources : [{ name: "lo", address: "127.0.0.1" }];
    return Promise.all(used.map(({ name, address }) => query({ name, address }, { host, port }, queryIn(DNS.Domain))));
  },
};

async function query(
  { name, address: from }: { readonly name: string; readonly address: string },
  { host, port }: { readonly host: string; readonly port: number },
  message: Buffer,
): Promise<Finding> {
  const why = await answerTo(message, from, host, port);
  if (why === undefined) return ok(`answers ${from} (${name}) at ${hostPortText(host, port)}`);
  return {
    level: "fail",
    what: `no answer to a query from ${from} (${name}) to ${hostPortText(host, port)}: ${why}`,
    cause: "a firewall of this host drops it",
    remedy: `accept TCP and UDP 53 from ${name}: with ufw 'ufw allow in on ${name} to any port 53'`,
  };
}

/** @returns why there was no answer */
function answerTo(message: Buffer, from: string, host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(udpType(endpoint(host, port)));
    const end = (why?: string) => {
      clearTimeout(timer);
      socket.close();
      resolve(why);
    };
    const timer = setTimeout(() => end(`nothing within ${ANSWER_MS / 1_000} s`), ANSWER_MS);
    socket.once("error", (error) => end(error.message));
    socket.once("message", () => end());
    socket.bind({ address: from }, () => socket.send(message, port, host, (error) => error && end(error.message)));
  });
}
