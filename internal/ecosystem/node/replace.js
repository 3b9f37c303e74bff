// Writes into package-lock.json the hashes of what stands in for packages: node replace.js FILE, in the folder of the lock. FILE is JSON:
// folder in the lock → integrity.
const fs = require("node:fs");
const lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));
for (const [dir, integrity] of Object.entries(JSON.parse(fs.readFileSync(process.argv[2], "utf8")))) lock.packages[dir].integrity = integrity;
fs.writeFileSync("package-lock.json", JSON.stringify(lock));
