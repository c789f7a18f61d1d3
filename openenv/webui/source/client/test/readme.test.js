import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { serve } from "./server.js";

const PACKAGE = fileURLToPath(new URL("../", import.meta.url));
const README = readFileSync(`${PACKAGE}README.md`, "utf8");
const SNIPPETS = [...README.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);

let server;

before(async () => {
  server = await serve("envs/echo_env", { options: ["--watch"] });
});

after(() => server.stop());

for (const [index, snippet] of SNIPPETS.entries()) {
  test(`the README's snippet ${index + 1} prints what it says`, async () => {
    const code = snippet.replaceAll("http://127.0.0.1:8000", server.url);
    const command = ["--input-type=module", "--eval", code];
    const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: PACKAGE });
    const promised = [...snippet.matchAll(/console\.log.*\/\/ (.*)/g)].map(([, line]) => line);
    assert.ok(promised.length > 0);
    assert.deepEqual(stdout.trimEnd().split("\n"), promised);
  });
}

test("the file with everything in it is as small as the README says", () => {
  const promised = Number(README.match(/less than (\d+) kB compressed/)[1]);
  const size = gzipSync(readFileSync(`${PACKAGE}dist/openenv.min.js`)).length;
  assert.ok(size < promised * 1000, `${size} bytes`);
});
