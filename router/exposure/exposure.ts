import * as z from "zod/mini";
import { type Cidr, parseCidr } from "#src/address.js";
import { errorText, WeaveError } from "#src/errors.js";
import { type Firewall, type FirewallState, firewallMissing, notDockerBridges } from "#src/linux/firewall/firewall.js";
import { addAddress, removeAddress } from "#src/linux/links/bridge.js";
import { findLink, ipBatch, ipv4Of, type Link, listLinks, networkRoute } from "#src/linux/links/links.js";
import { installCommands } from "#src/linux/packages.js";
import { checkKeepsRoutes, networksAt } from "#src/linux/routes/routes.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";
import { SerialQueue } from "#src/serial-queue.js";
import { readStored, type Store } from "#src/store.js";

const KEY = "exposed";
const MAX_EXPOSED = 256;
const shape = z.array(z.object({ cidr: z.string(), masquerade: z.boolean() })).check(z.maxLength(MAX_EXPOSED));

/** The part of the firewall rules that does not change while the router runs. */
export type FixedRules = Omit<FirewallState, "exposed" | "notDocker" | "untracked">;
/** The part of the firewall rules that depends on the state of the host. */
interface HostRules {
  readonly notDocker: readonly string[];
  /** The reason why the kernel tracks the datagrams of the mesh; undefined: it does not track them. */
  readonly tracked: string | undefined;
}
type Entry = z.infer<typeof shape>[number];

const problemOf = (cidr: Cidr): string => `exposed ${cidr.text}`;

/** Throws an error of {@link Exposure.expose} with the prefix "unable to expose". */
export function throwExposeError(cause: unknown): never {
  const code = cause instanceof WeaveError ? cause.code : "WEAVE_API";
  throw new WeaveError(code, `unable to expose: ${errorText(cause)}`, { cause });
}

/** The host's own addresses on the overlay. They are stored, and restored after a reboot. */
export class Exposure {
  readonly #store: Store;
  readonly #bridge: string;
  readonly #rules: FixedRules;
  readonly #firewall: Firewall | undefined;
  readonly #log: Log;
  readonly #problems: Problems;
  #entries: Entry[];
  /** The host's part of the rules that were applied last. */
  #applied: HostRules | undefined;
  /** Changes run one after another, because each has several steps. */
  readonly #queue = new SerialQueue();

  /** @throws WEAVE_STORE */
  constructor(options: {
    store: Store;
    rules: FixedRules;
    firewall: Firewall | undefined;
    log: Log;
    problems: Problems;
  }) {
    this.#store = options.store;
    this.#rules = options.rules;
    this.#bridge = options.rules.bridge;
    this.#firewall = options.firewall;
    this.#log = options.log;
    this.#problems = options.problems;
    this.#entries = readStored(options.store, KEY, shape, "'weave reset' starts again without it.") ?? [];
  }

  /** Why the firewall has no rules of weave; undefined: it has them, or gets them again at the next repair. */
  get unprotected(): string | undefined {
    if (this.#firewall === undefined)
      return "neither nft nor iptables is on this host to limit who sends frames in clear";
    return this.#applied === undefined
      ? "the firewall rules that limit who sends frames in clear cannot be made"
      : undefined;
  }

  /** Exposed addresses, in CIDR notation. */
  get addresses(): string[] {
    return this.#entries.map(({ cidr }) => cidr);
  }

  /** Restores the exposed addresses, and creates the firewall rules. Failures are problems in status. */
  restore(): Promise<void> {
    return this.#queue
      .run(async () => {
        for (const { cidr } of this.#entries) await this.#restoreAddress(parseCidr(cidr));
        if (this.#firewall === undefined) {
          const why = "neither nft nor iptables is on this host: containers can reach the ports of weave";
          this.#problems.set(
            "firewall",
            `${why}. Install one ('${installCommands(["nft"]).join("'; '")}') and launch again.`,
          );
        }
        await this.#applyRules();
      })
      .catch((error) =>
        this.#problems.set("firewall", `the firewall rules of weave cannot be made: ${errorText(error)}`),
      );
  }

  /**
   * Adds an address of the host to the bridge. Idempotent.
   *
   * @param hosts addresses of hosts; the routes to them must not change
   * @throws WEAVE_TOOL_MISSING, WEAVE_FIREWALL, WEAVE_ADDRESS_INVALID
   */
  expose(cidr: Cidr, masquerade: boolean, hosts: readonly string[]): Promise<void> {
    return this.#queue.run(async () => {
      await checkKeepsRoutes(cidr, this.#bridge, hosts);
      if (masquerade && this.#firewall === undefined) throw firewallMissing();
      const others = this.#entries.filter((entry) => entry.cidr !== cidr.text);
      if (others.length >= MAX_EXPOSED)
        throw new WeaveError("WEAVE_ADDRESS_INVALID", `more than ${MAX_EXPOSED} addresses are exposed`);
      this.#save([...others, { cidr: cidr.text, masquerade }]);
      await addAddress(this.#bridge, cidr.text);
      this.#problems.clear(problemOf(cidr));
      await this.#applyRules();
    });
  }

  /** Removes an address from the bridge. An address that is not on the bridge is no error. */
  hide(cidr: Cidr): Promise<void> {
    return this.#queue.run(async () => {
      this.#save(this.#entries.filter((entry) => entry.cidr !== cidr.text));
      this.#problems.clear(problemOf(cidr));
      this.#problems.clear(`route ${cidr.subnet}`);
      const link = await findLink(this.#bridge);
      if (link !== undefined && ipv4Of(link).includes(cidr.text)) await removeAddress(this.#bridge, cidr.text);
      await this.#applyRules();
    });
  }

  /**
   * Restores addresses, routes and firewall rules that other programs have removed (`firewalld --reload`, `iptables -F`, `nft
   * flush ruleset`). Failures are problems in status. Never rejects.
   *
   * @param links all current interfaces
   */
  repair(links: readonly Link[]): Promise<void> {
    return this.#queue
      .run(async () => {
        // Read after the previous change, which may have exposed an address.
        const bridge = this.#entries.length > 0 ? await findLink(this.#bridge) : undefined;
        if (bridge !== undefined) await this.#repairAddresses(bridge);
        await this.#repairRules(links);
      })
      .catch((error) =>
        this.#problems.set("firewall", `the firewall rules of weave cannot be restored: ${errorText(error)}`),
      );
  }

  async #repairAddresses(bridge: Link): Promise<void> {
    const present = ipv4Of(bridge);
    const missing = this.#entries.filter(({ cidr }) => !present.includes(cidr));
    for (const { cidr } of missing)
      if (await this.#restoreAddress(parseCidr(cidr)))
        this.#log.warn("an exposed address was removed from the bridge; it is restored", { address: cidr });
    const networks = await networksAt(this.#bridge);
    for (const { cidr } of this.#entries.filter((entry) => !missing.includes(entry))) {
      const { subnet, prefix } = parseCidr(cidr);
      if (prefix === 32 || networks.includes(subnet)) this.#problems.clear(`route ${subnet}`);
      else await this.#restoreRoute(cidr, bridge.mtu);
    }
  }

  /** Restores the route to an exposed network. `route add` never replaces a route of the user. */
  async #restoreRoute(cidr: string, mtu: number): Promise<void> {
    const { subnet } = parseCidr(cidr);
    try {
      await ipBatch([`route add ${networkRoute(cidr, this.#bridge, mtu)}`]);
      this.#problems.clear(`route ${subnet}`);
      this.#log.warn("the route to an exposed network was removed; it is restored", { network: subnet });
    } catch (error) {
      this.#problems.set(`route ${subnet}`, `there is no route to ${subnet} by ${this.#bridge}: ${errorText(error)}`);
    }
  }

  async #repairRules(links: readonly Link[]): Promise<void> {
    if (this.#firewall === undefined) return;
    const intact = await this.#firewall.intact();
    if (!intact) this.#log.warn("the firewall rules of weave were changed by another program; they are restored");
    const current = await this.#readHostRules(this.#firewall, links);
    if (intact && JSON.stringify(current) === JSON.stringify(this.#applied)) return;
    try {
      await this.#applyRules(current);
    } catch (error) {
      // The earlier ones are gone.
      if (!intact) this.#applied = undefined;
      throw error;
    }
    this.#problems.clear("firewall");
  }

  /** Restores an address. False: it conflicts with the host's current networks, or cannot be added; status reports the reason. */
  async #restoreAddress(cidr: Cidr): Promise<boolean> {
    try {
      await checkKeepsRoutes(cidr, this.#bridge, []);
      await addAddress(this.#bridge, cidr.text);
      this.#problems.clear(problemOf(cidr));
      return true;
    } catch (error) {
      this.#problems.set(
        problemOf(cidr),
        `the exposed address is not there: ${errorText(error)} 'weave hide ${cidr.text}' drops it.`,
      );
      return false;
    }
  }

  #save(entries: Entry[]): void {
    this.#store.put(KEY, entries);
    this.#entries = entries;
  }

  async #applyRules(given?: HostRules): Promise<void> {
    const firewall = this.#firewall;
    if (firewall === undefined) return;
    const { notDocker, tracked } = given ?? (await this.#readHostRules(firewall, await listLinks()));
    if (this.#applied === undefined || tracked !== this.#applied.tracked)
      this.#log.info(`the datagrams of the mesh are ${tracked === undefined ? "not " : ""}tracked by the kernel`, {
        why: tracked,
      });
    const exposed = this.#entries.map(({ cidr, masquerade }) => ({ subnet: parseCidr(cidr).subnet, masquerade }));
    const rules = { ...this.#rules, exposed, notDocker };
    try {
      await firewall.apply({ ...rules, untracked: tracked === undefined });
    } catch (error) {
      if (tracked !== undefined) throw error;
      this.#log.info("the datagrams of the mesh stay tracked: the kernel may be without 'notrack'", {
        why: errorText(error),
      });
      await firewall.apply({ ...rules, untracked: false });
    }
    // Set after success: rules that failed are applied again at the next check.
    this.#applied = { notDocker, tracked };
  }

  async #readHostRules(firewall: Firewall, links: readonly Link[]): Promise<HostRules> {
    const names = this.#rules.dockerBridge === undefined ? [] : links.map(({ ifname }) => ifname);
    return { notDocker: notDockerBridges(names), tracked: await firewall.trackingNeeded() };
  }
}
