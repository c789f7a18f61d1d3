/**
 * LinkTransport: carries the messages of one link, over one connection after the other.
 *
 * Owns connections, acknowledgements and reconnecting. link.ts knows what frames mean; socket.ts is
 * one connection.
 */

import { Attempts } from "./attempts.js";
import { OpenEnvError, asOpenEnvError, connectionLost, protocolError } from "./errors.js";
import { type Hello, type ServerFrame, VERSION } from "./frames.js";
import { Numbers } from "./numbers.js";
import { Outbox } from "./outbox.js";
import { Socket, type WebSocketClass, connectError } from "./socket.js";
import { type Data, WIRES, type Wire, bytesIn } from "./wire.js";

export type State = "open" | "reconnecting" | "closed";

export interface Settings {
  url: string;
  subprotocols: string[];
  timeoutMs: number;
  maxMessageBytes: number;
  WebSocket: WebSocketClass;
}

export interface TransportListener {
  receive(frames: ServerFrame[]): void;
  /** The sessions are lost; with `isFinal` the link has ended, too. */
  lose(error: OpenEnvError, isFinal: boolean): void;
  changed(state: State): void;
}

/** Close codes after which connecting again cannot help, and what they mean. */
const FATAL: Record<number, string> = {
  1002: "what was sent is against the protocol",
  1007: "what was sent is no text",
  1009: "a message was too large",
  4001: "another client has taken the link over",
};

const ACKNOWLEDGE_WITHIN_MS = 50;
// Browsers delay the timers of hidden pages, so every 16th message is acknowledged without one.
const ACKNOWLEDGE_EVERY = 16;
const KEEPALIVE_S = 20;

export class LinkTransport {
  state: State = "open";
  numbers = new Numbers();
  token: string | null = null;
  server!: Hello;
  wire!: Wire;
  private outbox!: Outbox;
  private socket: Socket | null = null;
  private readonly attempts = new Attempts();
  private ackTimer: ReturnType<typeof setTimeout> | undefined;
  private lossTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly settings: Settings,
    private readonly listener: TransportListener,
  ) {}

  /** Connect. With a token and numbers, resume that link; true if the server still knew it. */
  async open(token: string | null = null, numbers = new Numbers()): Promise<boolean> {
    this.token = token;
    this.numbers = numbers;
    const socket = await this.dial();
    this.wire = WIRES.get(socket.subprotocol) as Wire;
    this.outbox = new Outbox(this.wire, (frames) => this.transmit(frames));
    return this.greet(socket);
  }

  /** Send a frame with the next message. Throws PAYLOAD_ERROR, PAYLOAD_TOO_LARGE, CONNECTION_LOST. */
  push(frame: readonly unknown[]): void {
    if (this.state === "closed") throw connectionLost("the link is closed");
    this.outbox.push(frame, this.server.max_message_bytes);
  }

  /** Number and send what is ready now. */
  flush(): void {
    this.outbox.flush();
  }

  /** Send what is ready, and end the link and its sessions. */
  close(): void {
    if (this.state === "closed") return;
    this.flush();
    this.end(connectionLost("the link was closed"));
  }

  // ---- messages

  private transmit(frames: Data[]): void {
    const message = this.wire.join(this.numbers.received, frames);
    this.numbers.keep(message);
    this.socket?.send(message);
    this.watchForLoss();
  }

  private receive(data: unknown): void {
    const { numbers } = this;
    try {
      const size = bytesIn(data as Data);
      if (size > this.settings.maxMessageBytes) throw protocolError(`a message of ${size} bytes`);
      const { acknowledgement, frames } = this.wire.decode(data);
      numbers.acknowledge(acknowledgement);
      if (!frames.length) return;
      numbers.received += 1;
      this.acknowledgeSoon();
      this.listener.receive(frames);
    } catch (thrown) {
      this.end(asOpenEnvError(thrown, protocolError));
    }
  }

  private acknowledgeSoon(): void {
    if (this.numbers.received - this.numbers.announced >= ACKNOWLEDGE_EVERY) this.acknowledge();
    this.ackTimer ??= setTimeout(() => this.acknowledge(), ACKNOWLEDGE_WITHIN_MS);
  }

  private acknowledge(): void {
    clearTimeout(this.ackTimer);
    this.ackTimer = undefined;
    if (!this.socket || !this.numbers.owesAcknowledgement) return;
    this.socket.send(this.wire.join(this.numbers.announce(), []));
  }

  /**
   * Drop a socket if nothing arrives although the server owes an acknowledgement. Pages do not see
   * pings, so without this they would wait for minutes after the network has gone.
   */
  private watchForLoss(): void {
    if (this.lossTimer !== undefined || !this.socket) return;
    const { socket } = this;
    const seen = this.progress();
    this.lossTimer = setTimeout(
      () => {
        this.lossTimer = undefined;
        if (this.socket !== socket || !this.numbers.kept.length) return;
        if (this.progress() === seen) socket.drop();
        else this.watchForLoss();
      },
      Math.min(this.server.keepalive_s ?? KEEPALIVE_S, KEEPALIVE_S) * 1000,
    );
  }

  private progress(): string {
    const { acknowledged, received } = this.numbers;
    return `${acknowledged} ${received} ${this.socket?.bufferedBytes}`;
  }

  // ---- sockets come and go

  private dial(): Promise<Socket> {
    const { url, timeoutMs, WebSocket } = this.settings;
    const subprotocols = this.wire ? [this.wire.subprotocol] : this.settings.subprotocols;
    return Socket.dial(url, subprotocols, timeoutMs, WebSocket);
  }

  /** Exchange hellos, and send what the server lacks. False if it began a new link instead. */
  private async greet(socket: Socket): Promise<boolean> {
    const hello = await this.exchange(socket);
    let isResumed: boolean;
    try {
      isResumed = this.numbers.attach(hello, this.token);
    } catch (thrown) {
      socket.close((thrown as Error).message);
      throw thrown;
    }
    if (!isResumed) this.loseSessions();
    this.token = hello.token;
    this.server = hello;
    this.use(socket);
    return isResumed;
  }

  private exchange(socket: Socket): Promise<Hello> {
    const { url, timeoutMs, maxMessageBytes } = this.settings;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => socket.drop(), timeoutMs);
      socket.listen({
        message: (data) => {
          clearTimeout(timer);
          socket.listen(null);
          try {
            resolve(this.wire.decodeHello(data));
          } catch (thrown) {
            socket.close((thrown as Error).message);
            reject(asOpenEnvError(thrown, protocolError));
          }
        },
        closed: (_, reason) => {
          clearTimeout(timer);
          reject(connectError(url, reason || "the server did not say hello"));
        },
      });
      socket.send(
        this.wire.encode(["hello", VERSION, this.token, this.numbers.received, maxMessageBytes]),
      );
    });
  }

  private use(socket: Socket): void {
    this.socket = socket;
    socket.listen({
      message: (data) => this.receive(data),
      closed: (code, reason) => void this.recover(code, reason),
    });
    for (const message of this.numbers.kept) socket.send(message);
    if (this.numbers.kept.length) this.watchForLoss();
    this.become("open");
  }

  private async recover(code: number, reason: string): Promise<void> {
    this.socket = null;
    clearTimeout(this.lossTimer);
    this.lossTimer = undefined;
    const fatal = FATAL[code];
    if (fatal) return this.end(connectionLost(`${fatal}${reason && `: ${reason}`}`));
    this.become("reconnecting");
    this.attempts.begin(this.numbers, this.server.grace_s);
    while (await this.attempts.wait()) {
      if (this.isClosed()) return;
      try {
        if (await this.resume()) return;
      } catch (thrown) {
        if ((thrown as OpenEnvError).code === "CONNECT_ERROR") continue;
        return this.end(asOpenEnvError(thrown, protocolError));
      }
    }
    this.end(connectionLost(`no server answered within ${this.server.grace_s} s`));
  }

  /** Dial a new socket and resume the link. True if no further attempt is needed. */
  private async resume(): Promise<boolean> {
    const socket = await this.dial();
    if (this.isClosed()) {
      socket.close();
      return true;
    }
    await this.greet(socket);
    if (this.isClosed()) socket.close();
    return true;
  }

  private loseSessions(): void {
    this.numbers = new Numbers();
    this.outbox.clear();
    const reason = "the server no longer knows this link: it was restarted, or too much time went by";
    this.listener.lose(connectionLost(reason), false);
  }

  private isClosed(): boolean {
    return this.state === "closed";
  }

  private end(error: OpenEnvError): void {
    if (this.isClosed()) return;
    clearTimeout(this.ackTimer);
    clearTimeout(this.lossTimer);
    this.socket?.close(error.message);
    this.socket = null;
    this.attempts.hurry();
    this.become("closed");
    this.listener.lose(error, true);
  }

  private become(state: State): void {
    if (this.isClosed()) return;
    this.state = state;
    this.listener.changed(state);
  }
}
