import { parseName } from "#dns/name.js";
import { MAX_FALLBACK_MS, parseDnsListen, parseDuration } from "#router/names/options.js";
import { flag, offSwitch } from "#src/flag.js";
import { filePath } from "#src/flag-shapes.js";
import { accepts, orEmpty, text, whole } from "#src/shape.js";

const NAMES = "Names (weaveDNS)";
const WEEK_S = 7 * 86_400;

/** Flags of weaveDNS. */
export const NAME_FLAGS = {
  dns: offSwitch("no-dns", NAMES, "no weaveDNS"),
  dnsDomain: flag({
    flag: "dns-domain",
    shape: text(
      "a domain: labels of 1 to 63 ASCII characters, joined by dots, 253 characters in all",
      accepts(parseName),
    ),
    default: "weave.local.",
    placeholder: "fqdn",
    section: NAMES,
    meaning: "the domain that weaveDNS answers for",
  }),
  dnsListenAddress: flag({
    flag: "dns-listen-address",
    shape: orEmpty(
      text("[ip_address][:port] with a port from 1 to 65535, such as 172.17.0.1:53", parseDnsListen),
      "the default",
    ),
    default: "",
    defaultText: "port 53 of Docker's bridge, else of weave's",
    placeholder: "ip_address:port",
    section: NAMES,
    meaning: "where weaveDNS listens",
  }),
  dnsTtl: flag({
    flag: "dns-ttl",
    shape: whole(0, WEEK_S, "seconds"),
    default: 1,
    placeholder: "seconds",
    section: NAMES,
    meaning: "how long resolvers may cache answers",
  }),
  dnsFallbackTimeout: flag({
    flag: "dns-fallback-timeout",
    shape: text(`a duration such as 5s or 500ms, from 1ms to ${MAX_FALLBACK_MS / 1_000}s`, accepts(parseDuration)),
    default: "5s",
    placeholder: "duration",
    section: NAMES,
    meaning: "time limit for the answer of each upstream name server",
  }),
  resolvConf: flag({
    flag: "resolv-conf",
    shape: filePath,
    default: "/etc/resolv.conf",
    placeholder: "path",
    section: NAMES,
    meaning: "a file that lists the name servers for all other names",
  }),
};
