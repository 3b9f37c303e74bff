module.exports = require("node:fs").existsSync(__dirname + "/installed.js");
