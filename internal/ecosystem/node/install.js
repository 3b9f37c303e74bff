// Installs a project's dependencies with its own package manager from tarballs that are at hand: node install.js PLAN, in the folder
// of the lock. PLAN is JSON, see installPlan in derive.go. Afterwards nothing is left in the tree but node_modules folders and what
// PLAN keeps.
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");
const { spawn, spawnSync } = require("node:child_process");

const plan = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const registry = "http://127.0.0.1:4873/"; // the build has a network of its own, so that nothing else has the port

const patience = "3600000"; // ms: managers that unpack large packages on a busy machine leave the connection alone for long

const read = (name) => (fs.existsSync(name) ? fs.readFileSync(name, "utf8") : "");

// edit changes a file of the project, if it is there.
function edit(name, change) {
  if (fs.existsSync(name)) fs.writeFileSync(name, change(fs.readFileSync(name, "utf8")));
}

function run(program, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...env } });
    child.on("error", reject);
    child.on("exit", (code, signal) => (code === 0 ? resolve() : reject(new Error(`${program} ${args[0]}: ${signal ?? "exit " + code}`))));
  });
}

// Settings of registries and credentials mean nothing here; ignore-scripts does.
function npmrc() {
  let scripts = plan.scripts;
  edit(".npmrc", (text) => {
    const lines = text.split("\n").filter((l) => !/registry\s*=|_auth|_password|username|always-auth|cafile|proxy|min(imum)?-release-age|^\s*before\s*=/i.test(l));
    if (lines.some((l) => /^\s*ignore-scripts\s*=\s*true\s*$/.test(l))) scripts = false;
    return lines.join("\n");
  });
  return scripts;
}

// The project's own scripts need its sources and belong to the component; its dependencies' run here.
function withoutScripts() {
  for (const dir of [".", ...plan.workspaces]) {
    edit(path.join(dir, "package.json"), (text) => {
      const manifest = JSON.parse(text);
      for (const name of ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare", "pnpm:devPreinstall"]) {
        if (manifest.scripts) delete manifest.scripts[name];
      }
      return JSON.stringify(manifest, null, 2);
    });
  }
}

// stub is a package that says that it is for no platform: it stands for those of other platforms, which are not there.
function stub({ name, version }) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "stub-"));
  fs.mkdirSync(path.join(dir, "package"));
  fs.writeFileSync(path.join(dir, "package/package.json"), JSON.stringify({ name, version, os: ["none"] }));
  const r = spawnSync("tar", ["-czf", "stub.tgz", "package"], { cwd: dir, stdio: "inherit" });
  if (r.status !== 0) throw new Error(`stub of ${name} is not made`);
  return path.join(dir, "stub.tgz");
}

// listed is what is served of a package, by its name. npm's lock names packages by their folders, or says what they are called.
let listed = (name) => plan.served.filter((p) => p.name === name && p.path.includes("/-/"));

// describe is what a registry says of a package: its versions that are here. Few installs ask: npm does of what it looks at again.
function describe(name) {
  const versions = {};
  for (const p of listed(name)) {
    const r = spawnSync("tar", ["-xzOf", p.file, "--wildcards", "--no-wildcards-match-slash", "*/package.json"], { maxBuffer: 1 << 26 });
    if (r.status !== 0) continue;
    const manifest = JSON.parse(r.stdout);
    const version = p.version || manifest.version;
    versions[version] = { ...manifest, name, version, dist: { tarball: registry + p.path, integrity: p.integrity } };
  }
  const latest = Object.keys(versions).at(-1);
  return latest && JSON.stringify({ name, "dist-tags": { latest }, versions });
}

// serve answers for a registry until stopped.
async function serve() {
  const files = new Map(plan.served.map((p) => ["/" + p.path, p]));
  const server = http.createServer((request, response) => {
    const url = decodeURIComponent(request.url);
    const p = files.get(url);
    const body = p ? fs.readFileSync(p.file ?? (p.file = stub(p))) : describe(url.slice(1));
    response.writeHead(body ? 200 : 404, p ? {} : { "content-type": "application/json" });
    response.end(body || "{}");
    if (!body) console.error(`asked for ${url}, which the lock does not have`);
  });
  await new Promise((resolve) => server.listen(4873, "127.0.0.1", resolve));
  return () => server.closeAllConnections() ?? server.close();
}

// nameOf is the name of a package that stands in a folder.
const nameOf = (dir) => dir.slice(dir.lastIndexOf("node_modules/") + "node_modules/".length);

const managers = {
  async npm() {
    const lock = JSON.parse(read("package-lock.json"));
    const named = new Map();
    for (const [dir, at] of Object.entries(plan.places)) {
      const p = lock.packages[dir];
      p.resolved = registry + at;
      const name = p.name ?? nameOf(dir);
      named.set(name, [...(named.get(name) ?? []), { ...plan.served.find((s) => s.path === at), version: p.version, integrity: p.integrity }]);
    }
    const served = listed;
    listed = (name) => [...(named.get(name) ?? []), ...served(name)];
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
    const scripts = npmrc();
    const online = { npm_config_offline: "false", npm_config_registry: registry, npm_config_fetch_timeout: patience };
    await run("npm", ["ci", "--ignore-scripts", "--no-save", ...plan.omit.map((kind) => "--omit=" + kind)], online);
    const withScripts = Object.keys(plan.places).filter((dir) => lock.packages[dir].hasInstallScript && fs.existsSync(dir));
    if (!scripts) return;
    const needed = new Set(withScripts.filter((dir) => !lock.packages[dir].optional).map(nameOf));
    if (needed.size > 0) await run("npm", ["rebuild", ...needed]);
    // As npm itself does, an optional package that does not install is left out.
    for (const dir of withScripts.filter((dir) => lock.packages[dir].optional && !needed.has(nameOf(dir)))) {
      try {
        await run("npm", ["rebuild", nameOf(dir)]);
      } catch (e) {
        console.error(`${dir} is optional and does not install (${e.message}): it is left out`);
        fs.rmSync(dir, { recursive: true, force: true });
      }
    }
  },

  async pnpm() {
    edit("pnpm-lock.yaml", (text) =>
      plan.served
        .filter((p) => p.url)
        .reduce((t, p) => {
          const to = `tarball: ${registry}${p.path}`;
          const bare = `{tarball: ${p.url}}`;
          return t.split(bare).join(`{integrity: ${p.integrity}, ${to}}`).split(`tarball: ${p.url}`).join(to);
        }, text),
    );
    withoutScripts();
    const scripts = npmrc();
    const settings = {
      registry, "store-dir": "/tmp/pnpm/store", "cache-dir": "/tmp/pnpm/cache", "state-dir": "/tmp/pnpm/state", "package-import-method": "copy",
      "side-effects-cache": "false", "minimum-release-age": "0", "trust-policy": "off", "manage-package-manager-versions": "false", "pm-on-fail": "ignore",
      "update-notifier": "false", "verify-store-integrity": "true", "resolution-mode": "highest",
    };
    const args = ["install", "--frozen-lockfile", ...Object.entries(settings).map(([k, v]) => `--config.${k}=${v}`)];
    if (!scripts) args.push("--ignore-scripts");
    if (plan.omit.includes("dev")) args.push("--prod");
    if (plan.omit.includes("optional")) args.push("--no-optional");
    // pnpm 11 takes numbers from options as texts, and then waits forever; from the environment it reads them as numbers.
    await run("pnpm", args, { pnpm_config_fetch_timeout: patience, npm_config_fetch_timeout: patience });
  },

  async yarn() {
    // Where a tarball is served, by where the lock says that it is; a stub has another hash.
    const served = new Map(plan.served.map((p) => [p.url, p]));
    edit("yarn.lock", (text) => {
      let stubbed = false;
      const lines = text.split("\n").map((line) => {
        const m = /^  resolved "?([^"#]+)(#[^"]*)?"?\r?$/.exec(line);
        if (m) {
          const p = served.get(m[1]);
          if (!p) return line; // a folder of the tree
          stubbed = !p.file;
          return `  resolved "${registry}${p.path}${stubbed ? "" : m[2] ?? ""}"`;
        }
        if (/^\S/.test(line)) stubbed = false;
        return stubbed && line.startsWith("  integrity ") ? null : line;
      });
      return lines.filter((line) => line !== null).join("\n");
    });
    withoutScripts();
    const scripts = npmrc();
    edit(".yarnrc", (text) => text.split("\n").filter((l) => !/registry|yarn-path|yarn-offline|proxy|cafile|^"?--/i.test(l)).join("\n"));
    const args = ["install", "--frozen-lockfile", "--non-interactive", "--no-progress", "--cache-folder", "/tmp/yarn", "--registry", registry, "--network-timeout", patience];
    if (!scripts) args.push("--ignore-scripts");
    if (plan.omit.includes("dev")) args.push("--production");
    if (plan.omit.includes("optional")) args.push("--ignore-optional");
    await run("yarn", args);
  },

  async berry() {
    edit("yarn.lock", (text) =>
      plan.served.filter((p) => p.url).reduce((t, p) => t.split(encodeURIComponent(p.url)).join(encodeURIComponent(registry + p.path)), text),
    );
    withoutScripts();
    // Whole settings are taken out: a key at the margin with all that is indented below it.
    const mine = /^(npmScopes|npmRegistries|npmRegistryServer|npmPublishRegistry|npmAuth\w*|npmAlwaysAuth|yarnPath|nodeLinker|cacheFolder|enableGlobalCache|enableMirror|enableNetwork|http\w*|https\w*|networkSettings|ca\w*FilePath|unsafeHttpWhitelist|npmMinimalAgeGate|supportedArchitectures):/;
    edit(".yarnrc.yml", (text) => {
      let drop = false;
      return text.split("\n").filter((l) => (drop = /^\S/.test(l) && !l.startsWith("#") ? mine.test(l) : drop, !drop)).join("\n");
    });
    const args = ["install", "--immutable"];
    if (!plan.scripts) args.push("--mode=skip-build");
    const env = { YARN_NPM_REGISTRY_SERVER: registry.slice(0, -1), YARN_UNSAFE_HTTP_WHITELIST: "127.0.0.1", YARN_HTTP_TIMEOUT: patience };
    if (plan.omit.includes("dev")) await run("yarn", ["workspaces", "focus", "--all", "--production"], env);
    else await run("yarn", args, env);
  },
};

// strip deletes all but what is kept and what leads to it; it tells whether anything is left. Of what was installed, it deletes what
// managers note of addresses, of this store and of the time.
const keep = new Set(plan.keep);
const notes = new Set([".package-lock.json", ".yarn-integrity", ".modules.yaml", ".pnpm-workspace-state.json", ".pnpm-workspace-state-v1.json"]);
function strip(dir) {
  let left = false;
  for (const e of fs.readdirSync(dir, { withFileTypes: true })) {
    const name = path.join(dir, e.name);
    if (e.isDirectory() && e.name === "node_modules") {
      for (const note of notes) fs.rmSync(path.join(name, note), { force: true });
      left = true;
    } else if (keep.has(name)) left = true;
    else if (e.isDirectory() && !e.isSymbolicLink()) left = strip(name) || left;
    else fs.rmSync(name);
  }
  if (!left && dir !== ".") fs.rmdirSync(dir);
  return left;
}

(async () => {
  const stop = plan.served.length > 0 ? await serve() : () => {};
  await managers[plan.manager]();
  stop();
  for (const folder of plan.folders) fs.mkdirSync(folder, { recursive: true });
  strip(".");
})().catch((e) => {
  console.error(String(e.message ?? e));
  process.exit(1);
});
