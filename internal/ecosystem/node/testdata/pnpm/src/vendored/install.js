require("node:fs").writeFileSync("installed.js", "module.exports = true;\n");
