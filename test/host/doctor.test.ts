import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { doctor, has } from "#test/lab/doctor.js";
import { labTest } from "#test/lab/lab-test.js";

/** The start of a command with mounts that no other process sees. */
const mounted = (script: string): string[] => ["unshare", "--mount", "sh", "-c", `${script} && exec "$@"`, "sh"];

/** A socket of the plugin that a killed router left. */
const LEAVE_SOCKET = `mkdir -p /run/docker/plugins && mount -t tmpfs none /run/docker/plugins && { ${process.execPath} -e "require('node:net').createServer().listen('/run/docker/plugins/weave.sock', () => process.kill(process.pid, 'SIGKILL'))"; true; }`;

labTest(
  "doctor finds each fault that is made on a host before its first launch",
  { hosts: 2, timeout: 120_000 },
  async ({ hosts: [h1, h2] }) => {
    const sound = await doctor(h1);
    assert.deepEqual(
      sound.findings.filter(({ Level }) => Level === "fail"),
      [],
    );
    assert.equal(sound.code, 0);
    has(sound, "kernel", "ok", /makes veth pairs/);
    has(sound, "router", "ok", /^no router runs here: weave is not running/);
    has(
      await doctor(h1, undefined, h2.address),
      "peers",
      "fail",
      /^10\.99\.0\.2: cannot connect to TCP 6783: connection refused$/,
    );
    await h1.cutOff(h2);
    has(await doctor(h1, undefined, h2.address), "peers", "fail", /: connection timed out: no answer within 3 s$/);
    await h1.cutOff();

    const listener = await h1.background("hold-udp", "6783");
    await h1.must("ip", "route", "add", "10.40.0.0/16", "dev", h1.device);
    await h1.must(
      "nft",
      "add table inet closed; add chain inet closed input { type filter hook input priority 0; policy drop; }",
    );
    await h1.must("iptables-legacy", "-A", "INPUT", "-s", "192.0.2.1", "-j", "ACCEPT");
    await h1.must("nft", "add table ip filter");
    const faulty = await doctor(
      h1,
      mounted(
        // The limit of the table is one for all network namespaces: only what the command reads is another.
        `echo 96 >${h1.folder}/count && echo 100 >${h1.folder}/max && mount --bind ${h1.folder}/count /proc/sys/net/netfilter/nf_conntrack_count && mount --bind ${h1.folder}/max /proc/sys/net/netfilter/nf_conntrack_max && mkdir -p ${h1.folder}/state && mount -t tmpfs -o size=256k none ${h1.folder}/state && mkdir -p ${h1.folder}/log && mount -t tmpfs -o nr_inodes=9 none ${h1.folder}/log && mount -t tmpfs none /etc && mkdir -p /etc/NetworkManager/conf.d && ${LEAVE_SOCKET}`,
      ),
    );
    has(faulty, "range", "fail", /^network 10\.32\.0\.0\/12 overlaps with existing route 10\.40\.0\.0\/16 on host$/);
    has(
      faulty,
      "firewall",
      "warn",
      /^the chain input of table inet closed drops by default, and has no rule for port 6783$/,
    );
    has(faulty, "firewall", "warn", /iptables-legacy and of iptables-nft/);
    has(faulty, "tracking", "fail", /^96 of 100 entries/);
    has(faulty, "disk", "fail", /state has 0 MB left$/);
    has(faulty, "disk", "fail", /log has \d inodes left$/);
    has(faulty, "managers", "warn", /^NetworkManager may change/);
    has(faulty, "Docker", "fail", /^the plugin's socket \S+ does not answer: no process listens there$/);
    has(faulty, "ports", "fail", /^cannot listen on UDP 6783/);
    listener.kill();
    await h1.must("nft", "delete table inet closed; delete table ip filter");
    await h1.must("iptables-legacy", "-F");
    await h1.must("ip", "route", "delete", "10.40.0.0/16");

    const busybox = join(h1.folder, "busybox");
    mkdirSync(busybox);
    symlinkSync("/usr/bin/busybox", join(busybox, "ip"));
    has(
      await doctor(h1, ["env", `PATH=${busybox}:${process.env.PATH}`]),
      "requirements",
      "fail",
      /^ip: ip is BusyBox's/,
    );
  },
);
