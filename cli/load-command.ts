import type { COMMANDS } from "#cli/support/command-table.js";

/** A command that has a file of its own: a row of {@link COMMANDS}, except help. */
type Name = Exclude<keyof typeof COMMANDS, "help">;

/** The file of a command. */
interface Command {
  run(args: readonly string[]): Promise<void>;
}

/** The files of the commands. Each is loaded on demand, so that `weave status` does not load the modules of `launch`. */
const FILES: Readonly<Record<Name, () => Promise<Command>>> = {
  attach: () => import("#cli/commands/attach.js"),
  backup: () => import("#cli/commands/backup.js"),
  bugreport: () => import("#cli/commands/bugreport.js"),
  capture: () => import("#cli/commands/capture.js"),
  completion: () => import("#cli/commands/completion.js"),
  config: () => import("#cli/commands/config.js"),
  connect: () => import("#cli/commands/connect.js"),
  detach: () => import("#cli/commands/detach.js"),
  "dns-add": () => import("#cli/commands/dns-add.js"),
  "dns-args": () => import("#cli/commands/dns-args.js"),
  "dns-lookup": () => import("#cli/commands/dns-lookup.js"),
  "dns-remove": () => import("#cli/commands/dns-remove.js"),
  "docker-bridge-ip": () => import("#cli/commands/docker-bridge-ip.js"),
  doctor: () => import("#cli/commands/doctor.js"),
  env: () => import("#cli/commands/env.js"),
  events: () => import("#cli/commands/events.js"),
  expose: () => import("#cli/commands/expose.js"),
  forget: () => import("#cli/commands/forget.js"),
  hide: () => import("#cli/commands/hide.js"),
  identity: () => import("#cli/commands/identity.js"),
  ipam: () => import("#cli/commands/ipam.js"),
  launch: () => import("#cli/commands/launch.js"),
  ping: () => import("#cli/commands/ping.js"),
  prime: () => import("#cli/commands/prime.js"),
  ps: () => import("#cli/commands/ps.js"),
  rekey: () => import("#cli/commands/rekey.js"),
  reload: () => import("#cli/commands/reload.js"),
  report: () => import("#cli/commands/report.js"),
  reset: () => import("#cli/commands/reset.js"),
  restart: () => import("#cli/commands/restart.js"),
  restore: () => import("#cli/commands/restore.js"),
  rmpeer: () => import("#cli/commands/rmpeer.js"),
  setup: () => import("#cli/commands/setup.js"),
  "setup-cni": () => import("#cli/commands/setup-cni.js"),
  status: () => import("#cli/commands/status.js"),
  stop: () => import("#cli/commands/stop.js"),
  trace: () => import("#cli/commands/trace.js"),
  trust: () => import("#cli/commands/trust.js"),
  version: () => import("#cli/commands/version.js"),
};

/** Loads the file of a command, `cli/commands/NAME.ts`. */
export const loadCommand = (name: string): Promise<Command> => FILES[name as Name]();
