// Builds what is committed: the module with its types for bundlers, and the script that the platform serves at /sdk.js.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { build } from "esbuild";

const out = process.argv[2] ?? ".";
const served = process.argv[2] ? `${out}/sdk.js` : "../../serving/http/sdk.js";
const shared = {
  bundle: true,
  minify: true,
  target: "es2021",
  legalComments: "none",
  logLevel: "warning",
};

rmSync(`${out}/dist`, { recursive: true, force: true });
await build({ ...shared, entryPoints: ["src/index.ts"], format: "esm", outfile: `${out}/dist/tailorbird.mjs` });
await build({ ...shared, entryPoints: ["src/tag.ts"], format: "iife", outfile: served });
execFileSync("node_modules/.bin/tsc", ["--project", "tsconfig.types.json", "--outDir", `${out}/dist/types`], {
  stdio: "inherit",
});
