/** The frames that a server sends, by field, and the numbers that the protocol fixes. */

import { asOpenEnvError, protocolError } from "./errors.js";

export const VERSION = 1;
export const MAX_ID = Number.MAX_SAFE_INTEGER;
export const MAX_MESSAGE_BYTES = 100 * 1024 * 1024;
export const MIN_MESSAGE_BYTES = 1024;
export const COALESCE_BYTES = 64 * 1024;

export type Observation = any;

/** What reset and step answer. */
export interface Result<O = Observation> {
  observation: O;
  reward: number | boolean | null;
  /** The episode has ended by its own rules. */
  done: boolean;
  /** The episode was ended from outside, such as by a limit of steps. */
  truncated: boolean;
  metadata: Record<string, any> | null;
}

export interface Hello {
  kind: "hello";
  version: number;
  token: string;
  resumed: boolean;
  received: number;
  max_message_bytes: number;
  grace_s: number;
  keepalive_s: number | null;
  environment: string;
  capabilities: string[];
}

export interface ErrorFrame {
  kind: "error";
  id: number;
  code: string;
  message: string;
  retryable: boolean;
  details: Record<string, unknown> | null;
}

/** A session as spectators see it. */
export interface Summary {
  /** Its public name, which gives no right to act in it. */
  session: string;
  environment: string;
  label: string | null;
  episode_id: string | null;
  /** How many episodes the session has begun. */
  episode: number;
  step: number;
  /** Of the last step. */
  reward: number | boolean | null;
  /** Of the episode; null if the server has not seen all of it. */
  total_reward: number | null;
  done: boolean;
  truncated: boolean;
  age_s: number;
  steps_per_s: number;
  /** Null unless the watch wants observations. */
  action: any;
  observation: Observation;
  metadata: Record<string, any> | null;
}

export type ServerFrame =
  | Hello
  | ErrorFrame
  | { kind: "opened"; id: number; token: string }
  | ({ kind: "result" | "partial"; id: number } & Result)
  | { kind: "state"; id: number; state: any }
  | { kind: "closed"; id: number; session: number; reason: string }
  | { kind: "event"; id: number; sessions: Summary[]; ended: string[] }
  | { kind: "results" | "segment"; id: number };

type Read = (value: unknown, payload: (value: unknown) => unknown) => unknown;

function expect(isRight: (value: any) => boolean): Read {
  return (value) => {
    if (!isRight(value)) throw protocolError(`it holds ${JSON.stringify(value)}`);
    return value;
  };
}

const SPELLED: Record<string, number> = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity };

/** Read NaN and the infinities also where JSON has to spell them. */
function spelled(read: Read): Read {
  return (value, payload) => read(typeof value === "string" ? (SPELLED[value] ?? value) : value, payload);
}

function orNull(read: Read): Read {
  return (value, payload) => (value === null ? null : read(value, payload));
}

function listOf(read: Read): Read {
  return (value, payload) => (list(value, payload) as unknown[]).map((item) => read(item, payload));
}

const list = expect(Array.isArray);
const integer = expect(Number.isSafeInteger);
const string = expect((value) => typeof value === "string");
const boolean = expect((value) => typeof value === "boolean");
const number = spelled(expect((value) => typeof value === "number"));
const seconds = spelled(expect((value) => typeof value === "number" && !(value < 0)));
const reward = spelled(orNull(expect((value) => ["number", "boolean"].includes(typeof value))));
const object = expect((value) => typeof value === "object" && value !== null && !Array.isArray(value));
const bytes = expect((value) => typeof value === "string" || value instanceof Uint8Array);
const payload: Read = (value, read) => read(value);

type Field = readonly [name: string, read: Read, ...fallback: unknown[]];

const ID: Field = ["id", integer];
const OUTCOME: readonly Field[] = [
  ID,
  ["observation", payload],
  ["reward", reward, null],
  ["done", boolean, false],
  ["truncated", boolean, false],
  ["metadata", orNull(object), null],
];

const SUMMARY: readonly Field[] = [
  ["session", string],
  ["environment", string],
  ["label", orNull(string), null],
  ["episode_id", orNull(string), null],
  ["episode", integer, 0],
  ["step", integer, 0],
  ["reward", reward, null],
  ["total_reward", orNull(number), 0],
  ["done", boolean, false],
  ["truncated", boolean, false],
  ["age_s", number, 0],
  ["steps_per_s", number, 0],
  ["action", payload, null],
  ["observation", payload, null],
  ["metadata", orNull(object), null],
];

/** An object, unlike frames: a later version may have fields between these. */
const summary: Read = (value, revive) => {
  const fields = object(value, revive) as Record<string, unknown>;
  return readFields("event", SUMMARY, (name) => fields[name], revive);
};

const FRAMES: Record<string, readonly Field[]> = {
  hello: [
    ["version", integer, VERSION],
    ["token", string, ""],
    ["resumed", boolean, false],
    ["received", integer, 0],
    ["max_message_bytes", integer, MAX_MESSAGE_BYTES],
    ["grace_s", seconds, 60],
    ["keepalive_s", orNull(number), null],
    ["environment", string, ""],
    ["capabilities", listOf(string), []],
  ],
  opened: [ID, ["token", string]],
  result: OUTCOME,
  results: [
    ["ids", listOf(integer)],
    ["observations", payload],
    ["rewards", listOf(reward)],
    ["done", listOf(boolean)],
    ["truncated", listOf(boolean)],
    ["metadata", orNull(listOf(orNull(object))), null],
  ],
  partial: OUTCOME,
  state: [ID, ["state", payload]],
  closed: [ID, ["session", integer], ["reason", string, ""]],
  error: [
    ID,
    ["code", string],
    ["message", string],
    ["retryable", boolean, false],
    ["details", orNull(object), null],
  ],
  event: [ID, ["sessions", listOf(summary), []], ["ended", listOf(string), []]],
  segment: [
    ["pid", integer],
    ["descriptor", integer],
    ["size_bytes", integer],
    ["nonce", bytes],
  ],
};

/** Name the elements of a frame. Throws for what is none; elements of later versions are ignored. */
export function readFrame(frame: unknown, revive: (value: unknown) => unknown): ServerFrame {
  const kind: unknown = Array.isArray(frame) ? frame[0] : undefined;
  if (typeof kind !== "string" || !Object.hasOwn(FRAMES, kind)) {
    throw protocolError(`no frame of this protocol: ${JSON.stringify(kind)}`);
  }
  const elements = frame as unknown[];
  const fields = FRAMES[kind] as readonly Field[];
  const named = readFields(kind, fields, (_, index) => elements[index + 1], revive);
  return { kind, ...named } as unknown as ServerFrame;
}

function readFields(
  kind: string,
  fields: readonly Field[],
  find: (name: string, index: number) => unknown,
  revive: (value: unknown) => unknown,
): Record<string, unknown> {
  const named: Record<string, unknown> = {};
  fields.forEach(([name, read, ...fallback], index) => {
    const value = find(name, index);
    if (value !== undefined) named[name] = readField(kind, name, () => read(value, revive));
    else if (fallback.length) named[name] = fallback[0];
    else throw protocolError(`the frame ${kind} lacks ${name}`);
  });
  return named;
}

/** The frame, or in place of one that cannot be read the error that lets its request fail. */
export function readReply(frame: unknown, revive: (value: unknown) => unknown): ServerFrame {
  try {
    return readFrame(frame, revive);
  } catch (thrown) {
    const { code, message } = asOpenEnvError(thrown, protocolError);
    const second: unknown = Array.isArray(frame) ? frame[1] : 0;
    const id = Number.isSafeInteger(second) && (second as number) > 0 ? (second as number) : 0;
    return {
      kind: "error",
      id,
      code,
      message: `the reply cannot be read: ${message}`,
      retryable: false,
      details: null,
    };
  }
}

function readField<T>(kind: string, name: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    const { code, message } = asOpenEnvError(thrown, protocolError);
    if (code !== "PROTOCOL_ERROR") throw thrown;
    throw protocolError(`${name} of the frame ${kind}: ${message}`);
  }
}
