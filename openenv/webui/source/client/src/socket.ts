/** One WebSocket, of a browser, of Deno, of Node or of the package `ws`. */

import { OpenEnvError } from "./errors.js";
import type { Data } from "./wire.js";

/** What is used of a WebSocket. */
export interface WebSocketLike {
  binaryType: string;
  readonly protocol: string;
  readonly bufferedAmount: number;
  send(data: any): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: any, listener: (event: any) => void): void;
}

export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

export interface SocketListener {
  message(data: unknown): void;
  closed(code: number, reason: string): void;
}

const CLOSE_NORMAL = 1000;
const CLOSE_ABNORMAL = 1006;
const CLOSE_DROPPED = 4000;

export class Socket {
  private listener: SocketListener | null = null;
  private isClosed = false;
  /** What came while nobody listened: several messages may come in one turn. */
  private early: ((listener: SocketListener) => void)[] = [];

  private constructor(private readonly socket: WebSocketLike) {
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      const received: unknown = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
      this.tell((listener) => listener.message(received));
    });
    socket.addEventListener("close", ({ code, reason }) => this.end(code, reason));
  }

  /** Open a socket. Throws CONNECT_ERROR. */
  static dial(
    url: string,
    subprotocols: string[],
    timeoutMs: number,
    WebSocket: WebSocketClass,
  ): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, subprotocols);
      const dialed = new Socket(socket);
      const settle = (why?: string): void => {
        clearTimeout(timer);
        if (why === undefined) return resolve(dialed);
        dialed.drop();
        reject(connectError(url, why));
      };
      const timer = setTimeout(() => settle(`no answer within ${timeoutMs} ms`), timeoutMs);
      // Browsers do not say what went wrong.
      socket.addEventListener("error", (event: { message?: string }) =>
        settle(event.message || "nothing there answers, or it does not speak openenv.v1"),
      );
      socket.addEventListener("open", () =>
        settle(
          subprotocols.includes(socket.protocol)
            ? undefined
            : `the server does not speak ${subprotocols.join(" or ")}`,
        ),
      );
    });
  }

  get subprotocol(): string {
    return this.socket.protocol;
  }

  /** How much was sent but has not left this machine. */
  get bufferedBytes(): number {
    return this.socket.bufferedAmount;
  }

  /** Tell the listener what comes, and what has come since there was none; null: keep it. */
  listen(listener: SocketListener | null): void {
    this.listener = listener;
    while (this.listener && this.early.length) this.early.shift()?.(this.listener);
  }

  send(data: Data): void {
    if (!this.isClosed) this.socket.send(data);
  }

  /** Close it for good: the server ends the link. Browsers let a page send no code but this one. */
  close(reason = ""): void {
    this.isClosed = true;
    this.listener = null;
    this.socket.close(CLOSE_NORMAL, reason.replace(/[^ -~]/g, "?").slice(0, 120));
  }

  /** Give it up; a code of one's own only detaches, and the link can go on with another socket. */
  drop(): void {
    this.end(CLOSE_ABNORMAL, "");
    this.socket.close(CLOSE_DROPPED);
  }

  private end(code: number, reason: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.tell((listener) => listener.closed(code, reason));
  }

  private tell(what: (listener: SocketListener) => void): void {
    if (this.listener) what(this.listener);
    else this.early.push(what);
  }
}

/** The class to use: the given one, that of the platform, or that of `ws` in a Node without one. */
export async function webSocketClass(given?: WebSocketClass): Promise<WebSocketClass> {
  const own = given ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
  if (own) return own;
  // Not a literal: bundlers for browsers would look for it.
  const name: string = "ws";
  try {
    const { WebSocket } = await import(/* @vite-ignore */ name);
    return WebSocket;
  } catch {
    throw new OpenEnvError(
      "CONFIGURATION_ERROR",
      "there is no WebSocket here: install the package ws, or give connect a WebSocket class",
    );
  }
}

/** The address of the link at a server's base URL. */
export function linkUrl(base: string | URL): string {
  const url = URL.canParse(base) ? new URL(base) : null;
  if (!url || !/^(https?|wss?):$/.test(url.protocol)) {
    throw new OpenEnvError("CONFIGURATION_ERROR", `not the URL of a server: ${base}; it begins with http:// or https://`);
  }
  url.protocol = url.protocol.replace("http", "ws");
  url.pathname = `${url.pathname.replace(/\/$/, "")}/ws`;
  url.search = url.hash = "";
  return url.href;
}

export function connectError(url: string, why: string): OpenEnvError {
  return new OpenEnvError("CONNECT_ERROR", `cannot connect to ${url}: ${why}`, { retryable: true });
}
