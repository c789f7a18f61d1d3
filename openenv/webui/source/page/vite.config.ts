import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { licenses } from "./licenses";

// All addresses are relative: the server may be mounted anywhere. Names carry no hash: the files are
// committed, and the server answers with an ETag.
export default defineConfig({
  base: "./",
  plugins: [licenses("assets/licenses.txt")],
  // From its source, so that building the page needs no other step before.
  resolve: { alias: { openenv: fileURLToPath(new URL("../client/src/index.ts", import.meta.url)) } },
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    outDir: "../../static",
    emptyOutDir: true,
    target: "es2022",
    // Nothing inline: the page's policy lets scripts, styles and pictures come from files only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
      },
    },
  },
});
