/**
 * Connection: one link to a server, over as many sockets as that takes.
 *
 * Owns sockets, acknowledgements and reconnecting. What frames mean is the link's affair.
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

export interface ConnectionListener {
  take(frames: ServerFrame[]): void;
  /** The sessions are lost; with `isFinal` the connection is too. */
  lose(error: OpenEnvError, isFinal: boolean): void;
  changed(state: State): void;
}

/** How the server closed a socket, and that connecting again is of no use then. */
const FATAL: Record<number, string> = {
  1002: "what was sent is against the protocol",
  1007: "what was sent is no text",
  1009: "a message was too large",
  4001: "another client has taken the connection over",
};

const ACKNOWLEDGE_WITHIN_MS = 50;
// Timers of hidden pages are late: what comes in fast is acknowledged without one.
const ACKNOWLEDGE_EVERY = 16;
const KEEPALIVE_S = 20;

export class Connection {
  state: State = "open";
  numbers = new Numbers();
  token: string | null = null;
  server!: Hello;
  wire!: Wire;
  private outbox!: Outbox;
  private socket: Socket | null = null;
  private readonly attempts = new Attempts();
  private acknowledging: ReturnType<typeof setTimeout> | undefined;
  private watching: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly settings: Settings,
    private readonly listener: ConnectionListener,
  ) {}

  /** Connect, with the link of this token and these numbers or with a new one. True if it goes on. */
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
    if (this.state === "closed") throw connectionLost("the connection is closed");
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
    this.end(connectionLost("the connection was closed"));
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
      numbers.takeAcknowledgement(acknowledgement);
      if (!frames.length) return;
      numbers.received += 1;
      this.acknowledgeSoon();
      this.listener.take(frames);
    } catch (thrown) {
      this.end(asOpenEnvError(thrown, protocolError));
    }
  }

  private acknowledgeSoon(): void {
    if (this.numbers.received - this.numbers.announced >= ACKNOWLEDGE_EVERY) this.acknowledge();
    this.acknowledging ??= setTimeout(() => this.acknowledge(), ACKNOWLEDGE_WITHIN_MS);
  }

  private acknowledge(): void {
    clearTimeout(this.acknowledging);
    this.acknowledging = undefined;
    if (!this.socket || !this.numbers.owesAcknowledgement) return;
    this.socket.send(this.wire.join(this.numbers.announce(), []));
  }

  /**
   * Drop a socket on which nothing moves though the server owes an acknowledgement. Pages see no
   * pings, and without this they would wait for minutes on a network that has gone.
   */
  private watchForLoss(): void {
    if (this.watching !== undefined || !this.socket) return;
    const { socket } = this;
    const seen = this.progress();
    this.watching = setTimeout(
      () => {
        this.watching = undefined;
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
    let goesOn: boolean;
    try {
      goesOn = this.numbers.attach(hello, this.token);
    } catch (thrown) {
      socket.close((thrown as Error).message);
      throw thrown;
    }
    if (!goesOn) this.loseSessions();
    this.token = hello.token;
    this.server = hello;
    this.use(socket);
    return goesOn;
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
    clearTimeout(this.watching);
    this.watching = undefined;
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

  /** Go on with a new socket. True if there is nothing more to do. */
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
    const why = "the server no longer knows this connection: it was restarted, or too much time went by";
    this.listener.lose(connectionLost(why), false);
  }

  private isClosed(): boolean {
    return this.state === "closed";
  }

  private end(error: OpenEnvError): void {
    if (this.isClosed()) return;
    clearTimeout(this.acknowledging);
    clearTimeout(this.watching);
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
