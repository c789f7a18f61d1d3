/** `openenv serve` as a process of its own, and a way to it on which sockets get lost. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../../../", import.meta.url));

/** Serve a target; `url` is where, `stop` ends it. */
export async function serve(target, { options = [], environ = {} } = {}) {
  const python = process.env.PYTHON ?? "python3";
  const command = ["-m", "openenv.cli", "serve", target, "--port", "0", ...options];
  const child = spawn(python, command, {
    cwd: ROOT,
    env: { ...process.env, PYTHONPATH: ROOT, ...environ },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let complaints = "";
  child.stderr.on("data", (text) => {
    complaints += text;
  });
  const exited = once(child, "exit");
  const url = await Promise.race([
    announced(child.stdout),
    exited.then(() => Promise.reject(new Error(`the server did not start:\n${complaints}`))),
  ]);
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  return { url, stop };
}

async function announced(stdout) {
  for await (const line of createInterface({ input: stdout })) {
    const found = line.match(/http:\S+/);
    if (found) return found[0];
  }
  return new Promise(() => {});
}

/** A way to a server on which all sockets can be cut, and on which what is sent can get lost. */
export class Proxy {
  /** Whether what goes up to the server, or down from it, disappears. */
  loses = { up: false, down: false };
  #pairs = new Set();
  #server = net.createServer((client) => this.#connect(client));

  static async to(url) {
    const proxy = new Proxy();
    proxy.port = Number(new URL(url).port);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Lead to another server from now on. */
  lead(url) {
    this.port = Number(new URL(url).port);
  }

  /** Lose all sockets, and nothing more on the next ones. */
  cut() {
    this.loses = { up: false, down: false };
    for (const destroy of [...this.#pairs]) destroy();
  }

  async close() {
    this.#server.close();
    this.cut();
  }

  #connect(client) {
    const server = net.connect(this.port, "127.0.0.1");
    const destroy = () => {
      this.#pairs.delete(destroy);
      client.destroy();
      server.destroy();
    };
    this.#pairs.add(destroy);
    client.on("data", (data) => this.loses.up || server.write(data));
    server.on("data", (data) => this.loses.down || client.write(data));
    for (const socket of [client, server]) socket.on("close", destroy).on("error", destroy);
  }
}
