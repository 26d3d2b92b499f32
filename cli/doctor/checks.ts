import type { DoctorCheck } from "#cli/doctor/check.js";
import { clockCheck } from "#cli/doctor/clock.js";
import { diskCheck } from "#cli/doctor/disk.js";
import { dnsCheck } from "#cli/doctor/dns.js";
import { dockerCheck } from "#cli/doctor/docker.js";
import { firewallCheck } from "#cli/doctor/firewall.js";
import { kernelCheck } from "#cli/doctor/kernel.js";
import { managersCheck } from "#cli/doctor/managers.js";
import { pathCheck } from "#cli/doctor/path.js";
import { peerNamesCheck } from "#cli/doctor/peer-names.js";
import { peersCheck } from "#cli/doctor/peers.js";
import { portsCheck } from "#cli/doctor/ports.js";
import { rangeCheck } from "#cli/doctor/range.js";
import { requirementsCheck } from "#cli/doctor/requirements.js";
import { routerCheck } from "#cli/doctor/router.js";
import { trackingCheck } from "#cli/doctor/tracking.js";

/** All checks, in the order of the output. */
export const DOCTOR_CHECKS: readonly DoctorCheck[] = [
  requirementsCheck,
  kernelCheck,
  diskCheck,
  clockCheck,
  routerCheck,
  portsCheck,
  peersCheck,
  pathCheck,
  peerNamesCheck,
  rangeCheck,
  firewallCheck,
  trackingCheck,
  managersCheck,
  dnsCheck,
  dockerCheck,
];
