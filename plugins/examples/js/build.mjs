// Makes plugin.wasm: the files of module/, then app.js, as one script.

import { componentize } from "@bytecodealliance/componentize-js";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";

const names = (await readdir("module")).sort();
const files = await Promise.all(names.map(async (name) => [name, await readFile(`module/${name}`, "utf8")]));
// On one line with the first of app.js, so that the places of an error are those of app.js.
const script = `const MODULE = ${JSON.stringify(Object.fromEntries(files))}; ${await readFile("app.js", "utf8")}`;
await mkdir("build", { recursive: true });
await writeFile("build/plugin.js", script);
const { component } = await componentize({
  sourcePath: "build/plugin.js",
  witPath: "catalyst/wit/provisioner-1.0",
  worldName: "provisioner",
  disableFeatures: ["stdio", "random", "clocks", "http", "fetch-event"],
});
await writeFile("plugin.wasm", component);
