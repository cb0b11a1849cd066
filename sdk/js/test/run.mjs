// Bundles the unit tests, which are TypeScript like what they test, and runs them.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const folder = mkdtempSync(join(tmpdir(), "tailorbird-sdk-"));
const names = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
try {
  await build({
    entryPoints: names.map((name) => `test/${name}`),
    bundle: true,
    platform: "node",
    format: "esm",
    outExtension: { ".js": ".mjs" },
    outdir: folder,
  });
  const files = names.map((name) => join(folder, name.replace(/ts$/, "mjs")));
  process.exitCode = spawnSync("node", ["--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  rmSync(folder, { recursive: true });
}
