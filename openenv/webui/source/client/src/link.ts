/** Link: many sessions and watches over one logical connection, which outlives its sockets. */

import { OpenEnvError, asOpenEnvError, connectionLost } from "./errors.js";
import { MAX_MESSAGE_BYTES, type ServerFrame } from "./frames.js";
import { type Asking, Requests } from "./requests.js";
import { type SavedLink, checkSaved, restoreNumbers, saveNumbers } from "./saved.js";
import { Session, resultOf } from "./session.js";
import { type WebSocketClass, linkUrl, webSocketClass } from "./socket.js";
import { LinkTransport, type Settings, type State } from "./transport.js";
import { type WatchEvent, type WatchOptions, Watch } from "./watch.js";
import { WIRES } from "./wire.js";

export interface ConnectOptions {
  /** `"auto"` uses MessagePack if the server offers it. */
  encoding?: "auto" | "json" | "msgpack";
  /** What `save` of an earlier link returned: go on with it. See `Link.isResumed`. */
  resumeFrom?: SavedLink | null | undefined;
  onState?: (state: State) => void;
  /** How long to wait for the server, at each attempt. */
  timeoutMs?: number;
  maxMessageBytes?: number;
  /** A WebSocket class to use instead of the platform's own, or where it has none. */
  WebSocket?: WebSocketClass;
}

export interface OpenOptions {
  /** For logs, metrics and spectators. */
  label?: string | null;
  /** How many seconds to queue for a slot when all are taken. */
  wait?: number;
  /** Take over the living session that this names, instead of making one. */
  token?: string | null;
}

const PATIENCE_MS = 60_000;

/** Connect to the server at this base URL. Throws CONNECT_ERROR. */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<Link> {
  const { encoding = "auto", timeoutMs = 10_000, maxMessageBytes = MAX_MESSAGE_BYTES } = options;
  const address = linkUrl(url);
  const saved = checkSaved(options.resumeFrom);
  const subprotocols = saved
    ? [saved.subprotocol]
    : [...WIRES.values()]
        .filter((wire) => encoding === "auto" || wire.encoding === encoding)
        .map((wire) => wire.subprotocol);
  const WebSocket = await webSocketClass(options.WebSocket);
  const link = new Link(
    { url: address, subprotocols, timeoutMs, maxMessageBytes, WebSocket },
    options.onState,
  );
  await link.begin(saved);
  return link;
}

export class Link {
  /** After `connect` with `resumeFrom`: whether the server still knew that link. */
  isResumed = false;
  private readonly transport: LinkTransport;
  private readonly requests: Requests;
  private readonly watches = new Map<number, Watch>();
  private readonly opened = new Map<number, Session>();
  private lastId = 0;
  private lastSession = 0;

  /** Use `connect`. */
  constructor(settings: Settings, onState: ((state: State) => void) | undefined) {
    this.transport = new LinkTransport(settings, {
      receive: (frames) => frames.forEach((frame) => this.receive(frame)),
      lose: (error) => this.lose(error),
      // In a task of its own, so that an error of the caller's function does not end the link.
      changed: (state) => onState && queueMicrotask(() => onState(state)),
    });
    this.requests = new Requests((id, session) => this.send(["cancel", id, session]));
  }

  // ---- state

  get state(): State {
    return this.transport.state;
  }

  get encoding(): "json" | "msgpack" {
    return this.transport.wire.encoding;
  }

  /** The environment's name. */
  get environment(): string {
    return this.transport.server.environment;
  }

  /** What the server does besides what every server does, as `"watch"`. */
  get capabilities(): readonly string[] {
    return this.transport.server.capabilities;
  }

  /** How long sessions live on without a socket. */
  get graceS(): number {
    return this.transport.server.grace_s;
  }

  /** Those that are open, oldest first. */
  get sessions(): readonly Session[] {
    return [...this.opened.values()];
  }

  // ---- requests

  /** Make a session and its environment, without an episode yet. */
  async open<O = any, A = any, S = any>(options: OpenOptions = {}): Promise<Session<O, A, S>> {
    const { label = null, wait = 0, token = null } = options;
    const number = ++this.lastSession;
    const asking = { timeoutMs: PATIENCE_MS + wait * 1000 };
    const reply = await this.ask("open", number, [wait, label, token], asking);
    const session = this.add(number, (reply as ServerFrame & { kind: "opened" }).token, label);
    return session as Session<O, A, S>;
  }

  /** Follow sessions as a spectator; ending the loop ends the watch. */
  watch(options: WatchOptions = {}): AsyncIterableIterator<WatchEvent> {
    if (!this.capabilities.includes("watch")) {
      throw new OpenEnvError(
        "UNSUPPORTED",
        "the server does not let its sessions be watched: start it with openenv serve --watch",
      );
    }
    const id = ++this.lastId;
    const watch = new Watch(() => {
      if (this.watches.delete(id)) this.send(["unwatch", ++this.lastId, id]);
    });
    this.transport.push(["watch", id, ...watch.fields(options)]);
    this.watches.set(id, watch);
    return watch;
  }

  /**
   * What `connect` needs to go on with this link after the page was reloaded: plain data, for
   * sessionStorage. Call it when the page is about to go, and use this link no more. It holds secrets.
   */
  save(): SavedLink {
    this.transport.flush();
    return {
      version: 1,
      subprotocol: this.transport.wire.subprotocol,
      token: this.transport.token as string,
      ...saveNumbers(this.transport.numbers),
      lastId: this.lastId,
      lastSession: this.lastSession,
      sessions: this.sessions.map(({ number, token, label }) => ({ number, token, label })),
      pending: this.requests.list(),
      watches: [...this.watches.keys()],
    };
  }

  /** End the link and its sessions. */
  async close(): Promise<void> {
    this.transport.close();
  }

  // ---- internals

  /** Connect; `connect` calls this. */
  async begin(saved: SavedLink | null): Promise<void> {
    if (!saved) {
      await this.transport.open();
      return;
    }
    this.lastId = saved.lastId;
    this.lastSession = saved.lastSession;
    // Before connecting: the server sends at once what the former page did not receive.
    for (const { number, token, label } of saved.sessions) this.add(number, token, label);
    for (const request of saved.pending) this.expect(request);
    try {
      this.isResumed = await this.transport.open(saved.token, restoreNumbers(saved));
    } catch (thrown) {
      this.lose(asOpenEnvError(thrown, connectionLost));
      throw thrown;
    }
    if (this.isResumed) this.abandon(saved);
  }

  /** Wait for a reply that the former page did not receive. */
  private expect({ id, session: number, kind }: SavedLink["pending"][number]): void {
    const session = this.opened.get(number);
    if (!session || (kind !== "reset" && kind !== "step" && kind !== "state")) return;
    const asking = { timeoutMs: PATIENCE_MS };
    const reply = this.requests
      .wait(id, number, kind, asking)
      .then((frame) => (frame.kind === "state" ? frame.state : resultOf(frame)));
    // Without this, a failure that nobody handles would be reported as an unhandled rejection.
    reply.catch(() => {});
    session.unanswered.push({ kind, reply });
  }

  /** End the former page's watches, and sessions whose `opened` reply it did not receive. */
  private abandon(saved: SavedLink): void {
    for (const watch of saved.watches) this.send(["unwatch", ++this.lastId, watch]);
    for (const { session, kind } of saved.pending) {
      if (kind === "open") this.send(["close", ++this.lastId, session]);
    }
  }

  private add(number: number, token: string, label: string | null): Session {
    const ask = (...request: Parameters<Link["ask"]>) => this.ask(...request);
    const session = new Session(ask, number, token, label);
    this.opened.set(number, session);
    return session;
  }

  private ask(
    kind: string,
    session: number,
    fields: unknown[],
    asking: Asking,
  ): Promise<ServerFrame> {
    const id = ++this.lastId;
    this.transport.push([kind, id, session, ...fields]);
    if (kind === "close") this.opened.delete(session);
    return this.requests.wait(id, session, kind, asking);
  }

  /** Send a frame to which there is no reply. */
  private send(frame: readonly unknown[]): void {
    if (this.state !== "closed") this.transport.push(frame);
  }

  private receive(frame: ServerFrame): void {
    if (!("id" in frame)) return;
    const watch = this.watches.get(frame.id);
    if (frame.kind === "event") watch?.take(frame);
    else if (frame.kind === "closed" && !frame.id) this.end(frame.session, frame.reason);
    else if (frame.kind === "error" && watch) this.refuse(frame.id, watch, frame);
    else this.requests.take(frame);
  }

  private refuse(id: number, watch: Watch, frame: ServerFrame & { kind: "error" }): void {
    this.watches.delete(id);
    watch.fail(new OpenEnvError(frame.code, frame.message, frame));
  }

  /** The server has ended a session: what crossed the news gets no reply any more. */
  private end(number: number, reason: string): void {
    this.opened.get(number)?.end(reason);
    this.opened.delete(number);
    const message = `the server has ended the session: ${reason}`;
    this.requests.fail(new OpenEnvError("SESSION_EXPIRED", message, { details: { reason } }), number);
  }

  private lose(error: OpenEnvError): void {
    for (const session of this.opened.values()) session.end(error.message);
    this.opened.clear();
    this.requests.fail(connectionLost(error.message));
    for (const watch of this.watches.values()) watch.fail(error);
    this.watches.clear();
  }
}
