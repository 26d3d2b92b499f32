import { parseSubnet } from "#ipam/ring/subnet.js";
import { parseInit } from "#router/addresses/options.js";
import { flag } from "#src/flag.js";
import { orEmpty, text } from "#src/shape.js";

const ADDRESSES = "Addresses (IPAM)";
/** Default range, as in Weave Net: most networks use other addresses. */
export const DEFAULT_RANGE = "10.32.0.0/12";

const network = text("an IPv4 network of at least 4 addresses, such as 10.32.0.0/12", parseSubnet);

/** Flags of address allocation (IPAM). */
export const ADDRESS_FLAGS = {
  ipallocRange: flag({
    flag: "ipalloc-range",
    aliases: ["iprange"],
    shape: orEmpty(network, "no IPAM"),
    default: DEFAULT_RANGE,
    placeholder: "cidr",
    section: ADDRESSES,
    meaning: "the range that IPAM allocates from, the same on all hosts",
  }),
  ipallocDefaultSubnet: flag({
    flag: "ipalloc-default-subnet",
    shape: orEmpty(network, "the whole range"),
    default: "",
    defaultText: "the whole range",
    placeholder: "cidr",
    section: ADDRESSES,
    meaning: "the subnet of addresses when a command names none",
  }),
  ipallocInit: flag({
    flag: "ipalloc-init",
    shape: text("consensus[=<count>] with a count from 1 to 9999, seed=<peer_name>,..., or observer", parseInit),
    default: "",
    defaultText: "consensus",
    placeholder: "mode",
    section: ADDRESSES,
    meaning: "how the first peers divide the range",
  }),
};
