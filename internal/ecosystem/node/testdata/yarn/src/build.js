const fs = require("node:fs");
const isNumber = require("is-number");
fs.mkdirSync("dist", { recursive: true });
fs.writeFileSync("dist/seen.json", JSON.stringify({ odd: require("is-odd")(3), patched: isNumber.patched ?? false, lib: require("@shop/lib"), vendored: require("vendored") }) + "\n");
