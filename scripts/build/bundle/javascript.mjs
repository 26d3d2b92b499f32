import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";
import { root } from "../project.mjs";

/** The programs and threads: each is a file in `lib/` with the same path, found by `imports` of package.json. */
const PROGRAMS = ["cli/main.ts", "router/main.ts", "router/managed-plugin.ts", "router/datapath/worker.ts"];

/** Loaders of native modules in packages: the import that is replaced, the package, and what the import has to provide. */
const LOADERS = [
  { filter: /^\.\/src\/static\.js$/, package: "koffi", text: "export const loadStatic = () => loadNative(name);" },
  {
    filter: /^node-gyp-build-optional-packages$/,
    package: "lmdb",
    text: "export default () => loadNative(name);",
  },
  {
    filter: /^node-gyp-build-optional-packages$/,
    package: "msgpackr-extract",
    text: "module.exports = () => loadNative(name);",
  },
];

/** Plugin of esbuild: native modules are loaded from `native/`. */
const nativeModules = {
  name: "native-modules",
  setup(build) {
    for (const { filter, package: name, text } of LOADERS) {
      build.onResolve({ filter }, ({ importer }) =>
        importer.includes(`/node_modules/${name}/`) ? { path: name, namespace: "native-module" } : undefined,
      );
      build.onLoad({ filter: new RegExp(`^${name}$`), namespace: "native-module" }, () => ({
        contents: `import { loadNative } from "#src/installation.js";\nconst name = ${JSON.stringify(name)};\n${text}`,
        resolveDir: root,
      }));
    }
  },
};

/**
 * Plugin of esbuild: node:http is loaded by a call. An import makes all of its exports, of which Node.js 22 and later make some on
 * demand: that of `WebSocket` alone loads a whole HTTP client, 35 ms.
 */
const lazyHttp = {
  name: "lazy-http",
  setup(build) {
    build.onResolve({ filter: /^node:http$/ }, ({ path }) => ({ path, namespace: "lazy-http" }));
    build.onLoad({ filter: /./, namespace: "lazy-http" }, () => ({
      contents: 'module.exports = process.getBuiltinModule("node:http");',
    }));
  },
};

/**
 * Plugin of esbuild: ordered-binary, which reads keys of lmdb, evaluates code that names its variables. As a module in CommonJS it
 * keeps their names; those of ES modules are changed where two modules have the same.
 */
const keptNames = {
  name: "kept-names",
  setup(build) {
    build.onResolve({ filter: /^ordered-binary$/ }, ({ path }) => ({
      path: createRequire(import.meta.url).resolve(path),
    }));
    build.onEnd(({ metafile }) => ({
      errors: Object.entries(metafile?.inputs ?? {})
        .filter(([path, { format }]) => format === "esm" && evaluates(path))
        .map(([path]) => ({ text: `${path} evaluates code, which may name variables that esbuild has renamed` })),
    }));
  },
};

/** A call of `eval`; a method of that name, as in the polynomials of @noble/curves, is none. */
const EVAL_CALL = /(?<![.\w])eval\((?![^)]*\) \{)/;

const evaluates = (path) =>
  existsSync(join(root, path)) && EVAL_CALL.test(readFileSync(join(root, path), "utf8").replace(/^\s*\/\/.*$/gm, ""));

/** Plugin of esbuild: rejects `import("package")`. Of a package in CommonJS esbuild gives it the default export alone, Node.js all. */
const noPackageOnDemand = {
  name: "no-package-on-demand",
  setup(build) {
    build.onResolve({ filter: /^[^#./]/ }, ({ kind, path, importer }) =>
      kind === "dynamic-import" && !path.startsWith("node:") && !importer.includes("/node_modules/")
        ? {
            errors: [
              { text: `import("${path}") of a package: import it in a module that is itself imported on demand` },
            ],
          }
        : undefined,
    );
  },
};

/** Writes `lib/`: all JavaScript, with that of the packages. */
export async function javascript({ out }) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: PROGRAMS,
    outbase: root,
    outdir: join(out, "lib"),
    chunkNames: "shared/[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    conditions: ["source"],
    // The licences are in share/doc/weave/.
    legalComments: "none",
    // Packages in CommonJS call `require` for modules of Node.js.
    banner: {
      js: 'import { createRequire as requireOf } from "node:module";const require = requireOf(import.meta.url);',
    },
    plugins: [nativeModules, lazyHttp, keptNames, noPackageOnDemand],
    metafile: true,
    logLevel: "warning",
  });
  return metafile;
}
