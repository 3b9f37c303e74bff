// Installs a project's dependencies with npm from tarballs that are at hand: node install.js PLAN, in the project's folder.
// PLAN is JSON: places (folder in the lock → tarball), workspaces, folders (each node_modules), omit, scripts.
// Afterwards nothing is left in the project's tree but its node_modules folders.
const fs = require("node:fs");
const path = require("node:path");
const { spawnSync } = require("node:child_process");

const plan = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));

// npm takes a file's address where the lock has one, and still checks the integrity.
for (const [dir, tarball] of Object.entries(plan.places)) lock.packages[dir].resolved = "file:" + tarball;
// npm 7 and later read "packages" alone; "dependencies" is there for older ones and would contradict it.
delete lock.dependencies;
fs.writeFileSync("package-lock.json", JSON.stringify(lock));

// A workspace that is generated later is known by what the lock says of it.
for (const dir of plan.workspaces) {
  const manifest = path.join(dir, "package.json");
  if (fs.existsSync(manifest)) continue;
  fs.mkdirSync(dir, { recursive: true });
  fs.writeFileSync(manifest, JSON.stringify(lock.packages[dir]));
}

// Settings of registries and credentials mean nothing here; ignore-scripts does.
let scripts = plan.scripts;
if (fs.existsSync(".npmrc")) {
  const lines = fs.readFileSync(".npmrc", "utf8").split("\n").filter((l) => !/registry\s*=|_auth|_password|username|always-auth|cafile|proxy/i.test(l));
  if (lines.some((l) => /^\s*ignore-scripts\s*=\s*true\s*$/.test(l))) scripts = false;
  fs.writeFileSync(".npmrc", lines.join("\n"));
}

function npm(...args) {
  const r = spawnSync("npm", args, { stdio: "inherit" });
  if (r.error) throw r.error;
  if (r.status !== 0) process.exit(r.status ?? 1);
}

const omit = (plan.omit ?? []).map((kind) => "--omit=" + kind);
npm("ci", "--ignore-scripts", "--no-save", ...omit);

// The project's own scripts need its sources and belong to the component; its dependencies' run here.
const withScripts = Object.keys(plan.places).filter((dir) => lock.packages[dir].hasInstallScript && fs.existsSync(dir));
if (scripts && withScripts.length > 0) {
  const names = withScripts.map((dir) => dir.slice(dir.lastIndexOf("node_modules/") + "node_modules/".length));
  npm("rebuild", ...new Set(names));
}

// npm's note of what it installed names the tarballs.
for (const folder of plan.folders) fs.rmSync(path.join(folder, ".package-lock.json"), { force: true });
for (const folder of plan.folders) fs.mkdirSync(folder, { recursive: true });

// strip deletes all but node_modules folders and what leads to them; it tells whether any is left.
function strip(dir) {
  let left = false;
  for (const e of fs.readdirSync(dir, { withFileTypes: true })) {
    const name = path.join(dir, e.name);
    if (e.isDirectory() && (e.name === "node_modules" || strip(name))) left = true;
    else if (!e.isDirectory()) fs.rmSync(name);
  }
  if (!left) fs.rmdirSync(dir);
  return left;
}
for (const e of fs.readdirSync(".", { withFileTypes: true })) {
  if (!e.isDirectory()) fs.rmSync(e.name);
  else if (e.name !== "node_modules") strip(e.name);
}
