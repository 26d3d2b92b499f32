import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { changes, type Footprint, footprint } from "#test/lab/footprint.js";
import type { Lab } from "#test/lab/lab.js";
import { makeRelease, type Release, VERSION } from "#test/lab/releases.js";
import { type RootHost, rootHostsImpossible, rootLab } from "#test/lab/root-host.js";
import { connected, until } from "#test/lab/wait.js";

/** install.sh and the archive, on hosts with file systems of their own. */

const NEXT = "9.1.0";
const skip = rootHostsImpossible() ?? false;
/** Kept by other programs: caches, and the kernel's own. */
const OTHERS = [/^route .* dev lo/];

let folder: string;
let now: Release;
let next: Release;
let lab: Lab<RootHost>;
let h1: RootHost;
let h2: RootHost;
let empty: Footprint;

before(async () => {
  if (skip !== false) return;
  folder = mkdtempSync(join(tmpdir(), "weave-release-"));
  // One test reads it as another user.
  chmodSync(folder, 0o755);
  now = await makeRelease(folder, ["archive", "deb"]);
  next = await makeRelease(folder, ["archive"], NEXT);
  lab = await rootLab(2, { shared: [folder] });
  [h1, h2] = lab.hosts;
  empty = await footprint(h1);
});
after(async () => {
  await lab?.dispose();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

const step = (name: string, body: () => Promise<void>) => test(name, { skip, timeout: 120_000 }, body);

/** Runs a line of shell that must fail. @returns what it says */
async function refused(host: RootHost, line: string): Promise<string> {
  const { code, stdout, stderr } = await host.shell(line);
  assert.notEqual(code, 0, `${line}: ${stdout}`);
  return stderr;
}

const versionOf = (host: RootHost) => host.type("weave version").then((text) => /(\S+)$/.exec(text)?.[1]);
const nothingLeft = async (host: RootHost) => assert.deepEqual(changes(empty, await footprint(host), OTHERS), []);

step("a host that weave cannot run on is refused in words, and nothing is left on it", async () => {
  const install = `${now.installer} 2>&1`;
  const fake = (program: string, script: string) =>
    `mkdir -p /tmp/fake && printf '#!/bin/sh\\n%s\\n' '${script}' > /tmp/fake/${program} && chmod +x /tmp/fake/${program} && PATH=/tmp/fake:$PATH ${install}`;
  const uname = (option: string, answer: string) =>
    fake("uname", `[ "$1" = ${option} ] && echo ${answer} || exec /bin/uname "$@"`);
  const cases: readonly [line: string, says: RegExp][] = [
    [`setpriv --reuid 65534 --regid 65534 --clear-groups sh ${install}`, /only root can install weave/],
    [uname("-s", "FreeBSD"), /weave runs on Linux, and this is FreeBSD/],
    [uname("-r", "4.17.0-9-generic"), /Linux 4\.17\.0-9-generic is too old: weave needs 4\.18 or later/],
    [uname("-m", "riscv64"), /no weave for riscv64/],
    [`unshare -m sh -c 'mount -t tmpfs none /dev/net && ${install}'`, /no \/dev\/net\/tun.*\n.*modprobe tun/],
    [fake("getconf", "echo glibc 2.31"), /glibc 2\.31 is too old: weave needs 2\.34/],
    // Alpine's getconf knows no such variable, and its ldd has another answer.
    [
      `printf '#!/bin/sh\\nexit 1\\n' > /tmp/ldd && ${fake("getconf", "exit 1").replace("&& PATH", "&& mv /tmp/ldd /tmp/fake/ && chmod +x /tmp/fake/ldd && PATH")}`,
      /no glibc: its C library is musl/,
    ],
    [`${now.installer} --prefix lib 2>&1`, /'lib' is no absolute path/],
    [`${now.installer} --prefix /usr 2>&1`, /belongs to the packages of the system/],
    [`${now.installer} --form x 2>&1`, /unknown option '--form'/],
    [`${now.installer} --from /nowhere 2>&1`, /there is no \/nowhere/],
    [`${now.installer} --from /etc 2>&1`, /\/etc has no weave-VERSION-linux-/],
    [
      `mkdir -p /opt/small && unshare -m sh -c 'mount -t tmpfs -o size=40m none /opt/small && ${now.installer} --prefix /opt/small'; status=$?; rmdir /opt/small; exit $status`,
      /MB free, and weave needs \d+ MB/,
    ],
  ];
  for (const [line, says] of cases) {
    const { code, stdout, stderr } = await h1.shell(line);
    assert.equal(code, 1, line);
    assert.match(stdout + stderr, says, line);
    await h1.must("rm", "-rf", "/tmp/fake");
  }
  await nothingLeft(h1);
});

step("an archive that is damaged is refused; a URL needs checksums", async () => {
  await h1.must("cp", "-R", now.folder, "/tmp/release");
  await h1.must("busybox", "httpd", "-p", "127.0.0.1:8080", "-h", "/tmp/release");
  const archive = now.archive.slice(now.folder.length + 1);
  const installer = "/tmp/release/install.sh";
  await h1.type(`printf x >> /tmp/release/${archive}`);
  for (const from of [
    "/tmp/release",
    `/tmp/release/${archive}`,
    "http://127.0.0.1:8080",
    `http://127.0.0.1:8080/${archive}`,
  ])
    assert.match(
      await refused(h1, `${installer} --from ${from}`),
      /is damaged, or is not the released file.*\nNothing was changed/s,
    );
  await h1.type(
    `mv /tmp/release/SHA256SUMS /tmp/SHA256SUMS && head -c 1000000 ${now.archive} > /tmp/release/${archive}`,
  );
  assert.match(
    await refused(h1, `${installer} --from http://127.0.0.1:8080`),
    /cannot fetch http:\/\/127.0.0.1:8080\/SHA256SUMS/,
  );
  assert.match(
    await refused(h1, `${installer} --from /tmp/release/${archive}`),
    /cannot unpack .*\nNothing was changed/s,
  );
  await h1.type(`cp ${now.archive} /tmp/release/ && mv /tmp/SHA256SUMS /tmp/release/`);
  assert.match(
    await h1.type(`${installer} --from http://127.0.0.1:8080/ 2>&1`),
    new RegExp(`weave ${VERSION} is installed: /usr/local/bin/weave`),
  );
  assert.equal(await versionOf(h1), VERSION);
  await h1.type(`${installer} --uninstall && rm -r /tmp/release`);
  await nothingLeft(h1);
});

step("an https URL that leads to http is refused, by curl and by wget", async () => {
  await h1.type(`mkdir /tmp/https && cd /tmp/https && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \\
    -keyout key.pem -out cert.pem 2>/dev/null`);
  // The files of this server are whole answers, with their heads.
  const moved = (to: string) =>
    h1.type(`printf 'HTTP/1.0 302 Found\\r\\nLocation: %s\\r\\n\\r\\n' ${to} > /tmp/https/SHA256SUMS`);
  await h1.type(`printf 'HTTP/1.0 200 OK\\r\\n\\r\\n0 other\\n' > /tmp/https/other`);
  await h1.type("busybox httpd -p 127.0.0.1:8081 -h /tmp/https");
  const server = "openssl s_server -accept 127.0.0.1:8443 -cert cert.pem -key key.pem -HTTP";
  await h1.type(`cd /tmp/https && setsid ${server} >log 2>&1 </dev/null &`);
  await until("the server answers", async () => (await h1.shell("curl -ks https://localhost:8443/other")).code === 0);
  await h1.type("echo ca_certificate=/tmp/https/cert.pem > /tmp/https/wgetrc");
  const install = `CURL_CA_BUNDLE=/tmp/https/cert.pem WGETRC=/tmp/https/wgetrc ${now.installer} --from https://localhost:8443`;
  const says: Record<string, string> = {};
  for (const program of ["curl", "wget"]) {
    if (program === "wget") await h1.type("mount --bind /dev/null $(command -v curl)");
    await moved("https://localhost:8443/other");
    assert.match(await refused(h1, install), /SHA256SUMS names no weave-VERSION-linux/, `${program}: a move to https`);
    await moved("http://localhost:8081/other");
    says[program] = await refused(h1, install);
  }
  assert.match(says.curl, /cannot fetch https:\/\/localhost:8443\/SHA256SUMS\nNothing was changed/);
  assert.match(says.wget, /cannot fetch https:\S+: it leads to an address that is not encrypted\nNothing was changed/);
  await h1.type("umount $(readlink -f /usr/bin/curl) && rm -r /tmp/https");
  await nothingLeft(h1);
});

step("another installation is refused with the command that removes it", async () => {
  await h2.must("dpkg", "--force-depends", "-i", now.deb);
  assert.match(await refused(h2, now.installer), /installed as a Debian package\n'apt-get remove weave'/);
  await h2.must("dpkg", "--remove", "weave");
  await h2.type(
    `cd ${folder} && npm pack --silent ./bundle-${NEXT} && npm install --silent -g --prefix /usr/local ./weave-${NEXT}.tgz && rm weave-${NEXT}.tgz`,
  );
  assert.match(
    await refused(h2, now.installer),
    /installed by npm, in \/usr\/local\/lib\/node_modules\/weave\n'npm uninstall -g weave'/,
  );
  assert.match(
    await refused(h2, `dpkg --force-depends -i ${now.deb}`),
    /installed by npm, in .*\n.*'npm uninstall -g weave'/,
  );
  await h2.type("npm uninstall --silent -g --prefix /usr/local weave");
  await h2.type("printf '#!/bin/sh\\n' > /usr/local/bin/weave && chmod +x /usr/local/bin/weave");
  assert.match(await refused(h2, now.installer), /\/usr\/local\/bin\/weave is a command 'weave' of something else/);
  await h2.must("rm", "/usr/local/bin/weave");
  await h2.must(now.installer);
  assert.match(await refused(h2, `${now.installer} --prefix /opt/other`), /installed below \/usr\/local/);
  assert.match(
    await refused(h2, `dpkg --force-depends -i ${now.deb}`),
    /installed by install\.sh\.\n'\/usr\/local\/lib\/weave\/install\.sh --uninstall'/,
  );
  // Packages that were removed are often purged later, all at once: the state is of the other installation now.
  assert.match(await h2.must("dpkg", "-s", "weave"), /^Status: .* config-files$/m);
  await h2.type("mkdir -p /var/lib/weave && touch /var/lib/weave/weavedata.db && dpkg --purge weave");
  await h2.must("rm", "/var/lib/weave/weavedata.db");
  await h2.must("/usr/local/lib/weave/install.sh", "--uninstall");
});

step("a run that is killed at any step leaves what was there, and another run repairs it", async () => {
  await h1.must(now.installer);
  const complete = await footprint(h1);
  const folders = /weave-[^/ ]*\.\w{6}/;
  const same = (of: Footprint) =>
    new Set([...of].map((line) => line.replace(folders, "weave-X").replaceAll(NEXT, VERSION)));
  const killed = [
    ["tar", 1, now],
    ["ln", 1, next],
    ["mv", 2, now],
    ["rm", 1, next],
  ] as const;
  // Each run is killed when it calls the program for this time; `mv` and `ln` put the links in place, the application's first.
  for (const [index, [program, time, release]] of killed.entries()) {
    const killer = `n=$(cat /tmp/n 2>/dev/null || echo 0); n=$((n + 1)); echo $n > /tmp/n; [ $n -lt ${time} ] || kill -9 $PPID; exec /usr/bin/${program} "$@"`;
    await h1.type(
      `mkdir -p /tmp/fake && cat > /tmp/fake/${program} <<'END'\n#!/bin/sh\n${killer}\nEND\nchmod +x /tmp/fake/${program}`,
    );
    const { code } = await h1.shell(`PATH=/tmp/fake:$PATH ${release.installer} --allow-downgrade`);
    assert.notEqual(code, 0, `${program} ${time}`);
    // A reboot removes the run's own files in /tmp.
    await h1.type("rm -rf /tmp/fake /tmp/n /tmp/weave-install.*");
    assert.match((await versionOf(h1))!, new RegExp(`^(${VERSION}|${NEXT})$`), `${program} ${time}`);
    const repair = index % 2 === 0 ? release : next;
    await h1.must(repair.installer, "--allow-downgrade");
    assert.equal(await versionOf(h1), repair.version);
    assert.deepEqual(changes(same(complete), same(await footprint(h1)), OTHERS), [], `${program} ${time}`);
  }
  await h1.must(now.installer, "--uninstall");
  await nothingLeft(h1);
});

step("two hosts ping by an installed archive, and go on through an upgrade", async () => {
  for (const host of lab.hosts) await host.must("sh", now.installer);
  // Links into the application, which must not lead astray.
  const places =
    "man/man1/weave.1 bash-completion/completions/weave zsh/site-functions/_weave fish/vendor_completions.d/weave.fish";
  await h1.type(`cd /usr/local/share && for each in ${places}; do test -s $each || exit 1; done`);
  await h1.launch();
  await h2.launch(h1.address);
  await connected(h1, 1);
  const c1 = await h1.attach("c1", "10.32.0.1/12");
  await h2.attach("c2", "10.32.0.2/12");
  await until("a ping is answered", async () => (await c1.ping("10.32.0.2", { count: 1 })) === 1);
  const before = await h1.type("readlink /usr/local/lib/weave");
  assert.match(
    await h1.type(next.installer),
    /in place of .*\nThe running router is still the old one\. Next: 'weave restart'/s,
  );
  assert.ok((await c1.ping("10.32.0.2")) > 0);
  // The old router's files stay as long as it runs: its supervisor may have to start it again.
  await h1.must("test", "-e", `/usr/local/lib/${before}/node`);
  await h1.ok("restart");
  await until("a ping is answered", async () => (await c1.ping("10.32.0.2", { count: 1 })) === 1);
  assert.match(await refused(h1, now.installer), /weave 9\.1\.0 is installed, and .* is older.*\n.*--allow-downgrade/s);
  assert.match(
    await h1.type(`${next.installer} --restart`),
    /installed again: .*\nThe router was restarted, and is of version 9\.1\.0/s,
  );
  assert.notEqual((await h1.run("test", "-e", `/usr/local/lib/${before}`)).code, 0);
  await until("a ping is answered", async () => (await c1.ping("10.32.0.2", { count: 1 })) === 1);
});

step("uninstall keeps the state, and with --purge leaves nothing", async () => {
  // Between two attempts of its supervisor there is no router; the supervisor must end, too.
  await h1.type("echo '{}' >/run/weave/launch.json");
  await h1.killRouter();
  await until("no router runs", async () => (await h1.weave("status")).code !== 0);
  const supervisor = /\d+/.exec(await h1.type("cat /run/weave/supervisor.pid"))![0];
  await h1.must("test", "-d", `/proc/${supervisor}`);
  await h1.must(next.installer, "--uninstall");
  assert.equal((await h1.run("test", "-d", `/proc/${supervisor}`)).code, 1);
  assert.notEqual((await h1.shell("command -v weave")).code, 0);
  await h1.must("test", "-e", "/var/lib/weave/weavedata.db");
  await h1.must(next.installer);
  // An administrator's own file, which has the name of one of weave's.
  const own = "/etc/systemd/network/05-weave.network";
  await h1.type(`mkdir -p /etc/systemd/network && echo '[Match]' >${own}`);
  await h1.must("/usr/local/lib/weave/install.sh", "--uninstall", "--purge");
  await h1.must("rm", own);
  await h1.must("ip", "netns", "delete", "c1");
  await nothingLeft(h1);
});
