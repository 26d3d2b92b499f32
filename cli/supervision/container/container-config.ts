import { dirname } from "node:path";
import { parseDockerArgs } from "#cli/supervision/container/docker-args.js";
import { clientTls } from "#docker/engine/client-tls.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { ROLE_LABEL } from "#docker/engine/own-containers.js";
import { parseListen } from "#docker/proxy/proxy-options.js";
import type { LaunchOptions } from "#router/options.js";
import { ROUTER_CAPABILITIES } from "#src/linux/capabilities.js";
import { paths } from "#src/paths.js";

/** Profiles of the engine, which forbid mounts and other processes' namespaces. */
const SECURITY = ["apparmor=unconfined", "seccomp=unconfined", "label=disable"];
const TUN = "/dev/net/tun";

export interface ContainerPlan {
  readonly image: string;
  readonly options: LaunchOptions;
  /** Name of the data container. */
  readonly dataContainer: string;
  /** Folder with the containers' own files, such as /etc/hosts, as the engine sees it. */
  readonly containersFolder: string;
  /** Folder with the state, as the engine sees it. */
  readonly stateFolder: string;
  /** Whether later mounts of the host appear in the container: those of `ip netns add` are in /run/netns. */
  readonly propagation: boolean;
}

/** The body of `POST /containers/create` for the router. It has no option of the launch: every user of Docker can read it. */
export function routerConfig(plan: ContainerPlan, env: NodeJS.ProcessEnv): object {
  const { image, options, dataContainer, propagation } = plan;
  const extra = parseDockerArgs(env.WEAVE_DOCKER_ARGS ?? "");
  const bind = (source: string, target = source, readOnly = false) => ({
    Type: "bind",
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    // Without propagation the mounts below would be kept after their end on the host: they are left out.
    BindOptions: propagation ? { Propagation: "rslave" } : { NonRecursive: true },
  });
  return {
    Image: image,
    Cmd: ["router"],
    Env: [...folders(env, plan.stateFolder), ...extra.env],
    Labels: { ...extra.labels, [ROLE_LABEL]: "router" },
    HostConfig: {
      NetworkMode: "host",
      PidMode: "host",
      UsernsMode: "host",
      CapDrop: ["ALL"],
      // With SYS_ADMIN and the host's processes in view the router could become root of the host, as one outside of a container. Here
      // it also makes /proc/sys writable.
      CapAdd: Object.keys(ROUTER_CAPABILITIES),
      SecurityOpt: SECURITY,
      Devices: [{ PathOnHost: TUN, PathInContainer: TUN, CgroupPermissions: "rwm" }],
      RestartPolicy: { Name: options.restart ? "always" : "no" },
      VolumesFrom: [dataContainer],
      Binds: extra.binds,
      Mounts: [
        bind("/run"),
        bind("/etc", "/host/etc", true),
        bind(plan.containersFolder),
        bind(plan.stateFolder),
        ...furtherFolders(options, env).map((folder) => bind(folder)),
      ],
      ...extra.hostConfig,
    },
  };
}

/** The body for the data container, which never runs. @param from the container whose volume it takes; undefined: a new one */
export const dataConfig = (image: string, from?: string): object => ({
  Image: image,
  Cmd: ["help"],
  Labels: { [ROLE_LABEL]: "state" },
  Volumes: { [VOLUME]: {} },
  HostConfig: { NetworkMode: "none", VolumesFrom: from === undefined ? [] : [from] },
});

/** Path of the state's volume in the data container. */
export const VOLUME = "/weavedb";

const folders = ({ WEAVE_RUN_DIR }: NodeJS.ProcessEnv, state: string): string[] => [
  `WEAVE_STATE_DIR=${state}`,
  ...(WEAVE_RUN_DIR ? [`WEAVE_RUN_DIR=${WEAVE_RUN_DIR}`] : []),
];

/** Folders of the host that the options name, outside of those that every router has. */
export function furtherFolders(options: LaunchOptions, env: NodeJS.ProcessEnv): string[] {
  const { docker, resolvConf } = options;
  const engine = docker.api === "" ? undefined : parseEngineAddress(docker.api, env);
  const sockets = docker.listen.map(parseListen).flatMap((each) => ("path" in each ? [each.path] : []));
  const tls = clientTls(env);
  const files = [
    ...(engine !== undefined && "socketPath" in engine ? [engine.socketPath] : []),
    ...(engine !== undefined && "host" in engine && tls ? [tls.ca, tls.cert, tls.key] : []),
    ...(docker.api !== "" && docker.proxy ? sockets : []),
    ...(docker.api !== "" && docker.plugin ? [docker.pluginSocket, docker.meshSocket] : []),
    ...(docker.tls === "off" ? [] : [docker.tlsCa, docker.tlsCert, docker.tlsKey]),
    ...(resolvConf === "/etc/resolv.conf" ? [] : [resolvConf]),
    `${paths(env).run}/`,
  ];
  const folders = files.map((file) => (file.endsWith("/") ? file.slice(0, -1) : dirname(file)));
  return [...new Set(folders)].filter((folder) => !/^(\/var)?\/run(\/|$)/.test(folder)).sort();
}
