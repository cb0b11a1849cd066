// Builds what is committed: the module with its types for bundlers, and the script that the platform serves at /sdk.js.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { build } from "esbuild";
import { minify } from "terser";

const out = process.argv[2] ?? ".";
const served = process.argv[2] ? `${out}/sdk.js` : "../../serving/http/sdk.js";

const bundle = async (source, format, file) => {
  const { outputFiles } = await build({
    entryPoints: [source],
    bundle: true,
    format,
    target: "es2021",
    minify: true,
    legalComments: "none",
    write: false,
  });
  const { code } = await minify(outputFiles[0].text, {
    ecma: 2020,
    module: format === "esm",
    compress: { passes: 3, unsafe_arrows: true, keep_fargs: false },
  });
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, code);
};

rmSync(`${out}/dist`, { recursive: true, force: true });
await bundle("src/index.ts", "esm", `${out}/dist/tailorbird.mjs`);
await bundle("src/experiments.ts", "esm", `${out}/dist/experiments.mjs`);
await bundle("src/tag.ts", "iife", served);
execFileSync("node_modules/.bin/tsc", ["--project", "tsconfig.types.json", "--outDir", `${out}/dist/types`], {
  stdio: "inherit",
});
