import { CniError } from "#router/cni/cni-error.js";

/** Versions of the specification that this plugin supports, the oldest first. */
export const CNI_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

export type CniVersion = (typeof CNI_VERSIONS)[number];

/** The version of a configuration without `cniVersion`. */
const OLDEST: CniVersion = "0.1.0";
/** The version of an error about a configuration whose version is unknown. */
export const NEWEST_CNI: CniVersion = "1.1.0";

/** Reads the version of a configuration. @throws CniError 1 for one that is not supported */
export function cniVersionOf(value: unknown): CniVersion {
  if (value === undefined || value === null || value === "") return OLDEST;
  const version = CNI_VERSIONS.find((each) => each === value);
  if (version !== undefined) return version;
  throw new CniError("incompatibleVersion", `CNI version ${JSON.stringify(value).slice(0, 64)} is not supported`, {
    next: `Supported versions are ${CNI_VERSIONS.join(", ")}: change "cniVersion" in the network configuration.`,
  });
}

/** Whether a version is `least` or newer. */
export const isAtLeast = (version: CniVersion, least: CniVersion): boolean =>
  CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(least);
