/** What this package offers. */

export type { State } from "./transport.js";
export { OpenEnvError } from "./errors.js";
export type { Observation, Result, Summary } from "./frames.js";
export { type ConnectOptions, Link, type OpenOptions, connect } from "./link.js";
export type { SavedLink } from "./saved.js";
export {
  type RequestOptions,
  type ResetOptions,
  Session,
  type StepOptions,
  type Unanswered,
} from "./session.js";
export type { WebSocketClass, WebSocketLike } from "./socket.js";
export { type Dtype, type Nested, Tensor, type TypedArray } from "./tensor.js";
export type { WatchEvent, WatchOptions } from "./watch.js";
export { fromJson, toJson } from "./wire.js";
