// Makes dist/: index.html, and under assets/ the script and the style sheet, named by the hash of their content.
import { readFileSync } from "node:fs";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import esbuild from "rollup-plugin-esbuild";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));

/** Writes index.html, with the names that the assets got, and copies what is in static/. */
function page() {
  return {
    name: "page",
    buildStart() {
      this.addWatchFile("index.html");
      this.addWatchFile("src/style.css");
      this.emitFile({ type: "asset", name: "style.css", source: readFileSync("src/style.css") });
      this.emitFile({ type: "asset", fileName: "icon.svg", source: readFileSync("static/icon.svg") });
    },
    generateBundle(_, bundle) {
      const entry = Object.values(bundle).find((file) => file.type === "chunk" && file.isEntry);
      const style = Object.values(bundle).find((file) => file.fileName.endsWith(".css"));
      const source = readFileSync("index.html", "utf8")
        .replace("%STYLE%", `/${style.fileName}`)
        .replace("%SCRIPT%", `/${entry.fileName}`);
      this.emitFile({ type: "asset", fileName: "index.html", source });
    },
  };
}

export default {
  input: "src/main.ts",
  output: {
    dir: "dist",
    format: "es",
    sourcemap: true,
    entryFileNames: "assets/[name]-[hash].js",
    chunkFileNames: "assets/[name]-[hash].js",
    assetFileNames: "assets/[name]-[hash][extname]",
  },
  plugins: [
    nodeResolve({ browser: true, extensions: [".ts", ".js"] }),
    esbuild({
      target: "es2022",
      minify: true,
      define: { __VERSION__: JSON.stringify(version) },
    }),
    page(),
  ],
};
