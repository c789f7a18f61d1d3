// The visitor's own link and session, and everything that happens in it. Knows no element of the page.

import { signal } from "@preact/signals";
import { connect, OpenEnvError, type Link, type Result, type SavedLink, type Session } from "openenv";
import { server } from "../config";
import { Trace } from "../trace";
import { forgetSaved, keepSaved, restoreTrace, savedPage, savePage, type Asked } from "./saved";

export type Status = "connecting" | "open" | "reconnecting" | "lost" | "unreachable";

export interface Problem {
  message: string;
  /** Leads to the field that it is about, as the server names it. */
  path?: string;
  /** What to do about it, if the page can help. */
  remedy?: "begin anew" | "connect" | "reset";
}

const LOST =
  "The server was restarted, or this page was away for too long: the episode is gone. Its history is still here.";

export class Play {
  readonly status = signal<Status>("connecting");
  readonly isBusy = signal(false);
  readonly hasSession = signal(false);
  readonly problem = signal<Problem | null>(null);
  readonly state = signal<unknown>(undefined);
  readonly trace = signal(new Trace());
  readonly link = signal<Link | null>(null);
  private session: Session | null = null;
  /** Whether the episode that is shown was lost, and none has begun since. */
  private isLost = false;
  private asked: Asked = { action: null };
  private turn: Promise<unknown> = Promise.resolve();

  /** Connect; after a reload, go on with the episode. */
  async start(): Promise<void> {
    const saved = savedPage();
    let isConnected = false;
    addEventListener("pagehide", () => {
      if (saved && !isConnected) keepSaved(saved);
      else savePage(this.link.value, this.trace.value, this.asked);
    });
    addEventListener("pageshow", forgetSaved);
    restoreTrace(this.trace.value, saved?.entries);
    await this.connect(saved?.link);
    isConnected = true;
    const [session] = this.link.value?.sessions ?? [];
    if (session) {
      this.take(session);
      await this.takeUnanswered(session, saved?.asked);
    } else if (saved?.link.sessions.length && this.link.value) {
      this.lose();
    }
  }

  async connect(resumeFrom?: SavedLink): Promise<void> {
    this.status.value = "connecting";
    this.problem.value = null;
    const onState = (state: "open" | "reconnecting" | "closed") => this.follow(state);
    try {
      this.link.value = await connect(server(), { resumeFrom, onState });
      this.status.value = "open";
      if (this.isLost) this.problem.value = { message: LOST, remedy: "begin anew" };
    } catch (error) {
      this.miss(`The server does not answer: ${messageOf(error)}.`);
    }
  }

  /** See to it that what comes next is played on a connection that is there, after a loss too. */
  async recover(): Promise<void> {
    this.problem.value = null;
    const link = this.link.value;
    if (!link || link.state === "closed") await this.connect();
    else this.status.value = link.state;
  }

  async reset(options: Record<string, unknown>): Promise<boolean> {
    return this.run(async () => {
      const session = this.session ?? this.take(await this.opened());
      const before = performance.now();
      this.asked = { action: null, options };
      const result = await session.reset(options);
      this.note("reset", null, result, (performance.now() - before) / 1000, options);
    });
  }

  async step(action: unknown): Promise<boolean> {
    return this.run(async () => {
      const session = this.open;
      const before = performance.now();
      this.asked = { action };
      const result = await session.step(action);
      this.note("step", action, result, (performance.now() - before) / 1000);
    });
  }

  async readState(): Promise<boolean> {
    return this.run(async () => {
      this.state.value = await this.open.state();
    });
  }

  async close(): Promise<boolean> {
    return this.run(async () => {
      const { session } = this;
      this.drop();
      await session?.close();
    });
  }

  /** What the environment draws of itself. */
  async render(): Promise<Blob> {
    const headers = { "X-OpenEnv-Session": this.session?.token ?? "" };
    const response = await fetch(new URL("render", server()), { headers });
    if (!response.ok) throw new Error(`render: ${response.status} ${await response.text()}`);
    return response.blob();
  }

  private get open(): Session {
    if (this.session) return this.session;
    throw new OpenEnvError("NOT_RESET", "No episode has begun yet.");
  }

  private async opened(): Promise<Session> {
    if (!this.link.value) await this.connect();
    if (!this.link.value) throw new Error("there is no connection to the server");
    return this.link.value.open({ label: "web" });
  }

  private take(session: Session): Session {
    this.session = session;
    this.isLost = false;
    this.hasSession.value = true;
    void session.closed.then((reason) => {
      if (this.session !== session) return;
      if (this.status.value === "open") this.end(`The server has ended the session: ${reason}.`);
      else this.lose();
    });
    return session;
  }

  /** What was asked just before a reload. */
  private async takeUnanswered(session: Session, asked?: Asked): Promise<void> {
    for (const { kind, reply } of session.unanswered) {
      await this.run(async () => {
        const answer = (await reply) as Result;
        if (kind === "reset" || kind === "step") this.note(kind, asked?.action ?? null, answer, null, asked?.options);
      });
    }
  }

  private drop(): void {
    this.session = null;
    this.hasSession.value = false;
  }

  private follow(state: "open" | "reconnecting" | "closed"): void {
    if (state === "closed" && this.trace.value.last) this.lose();
    else if (state === "closed") this.miss("The connection to the server was lost.");
    else if (this.status.value !== "lost") this.status.value = state;
  }

  /** The server is away, and no episode with it. */
  private miss(message: string): void {
    this.status.value = "unreachable";
    this.problem.value = { message, remedy: "connect" };
  }

  private lose(): void {
    this.drop();
    this.isLost = true;
    this.status.value = "lost";
    this.problem.value = { message: LOST, remedy: "begin anew" };
  }

  private end(message: string): void {
    this.drop();
    this.problem.value = { message, remedy: "begin anew" };
  }

  private note(
    kind: "reset" | "step",
    action: unknown,
    result: Result,
    latencyS: number | null,
    options?: unknown,
  ): void {
    this.trace.value.add({ kind, at: Date.now(), action, latencyS, options, ...result });
    this.state.value = undefined;
  }

  /** One call after the other; what goes wrong becomes a problem to show. */
  private run(call: () => Promise<unknown>): Promise<boolean> {
    const turn = this.turn.then(() => this.runNow(call));
    this.turn = turn;
    return turn;
  }

  private async runNow(call: () => Promise<unknown>): Promise<boolean> {
    this.isBusy.value = true;
    this.problem.value = null;
    try {
      await call();
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    } finally {
      this.isBusy.value = false;
    }
  }

  private fail(error: unknown): void {
    const message = messageOf(error);
    if (!(error instanceof OpenEnvError)) {
      this.problem.value = { message };
    } else if (!GONE.has(error.code)) {
      const { path } = error.details;
      const remedy = error.code === "NOT_RESET" ? "reset" : undefined;
      this.problem.value = { message, remedy, path: typeof path === "string" ? path : undefined };
    } else if (this.session) {
      // Otherwise it is known already, and said.
      this.end(message);
    }
  }
}

/** The session is gone: what else says so comes by `Session.closed`. */
const GONE = new Set(["SESSION_NOT_FOUND", "SESSION_EXPIRED", "CONNECTION_LOST"]);

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
