/** The one error class; `code` says which error of the protocol's table it is. */

/** Everything that goes wrong, here, on the way or in the environment. */
export class OpenEnvError extends Error {
  override readonly name = "OpenEnvError";
  /** A code of the table of errors in the protocol's specification, as `"NOT_RESET"`. */
  readonly code: string;
  /** Whether the same request may succeed later, unchanged. */
  readonly retryable: boolean;
  /** Data by the names in that table, as `path` of a `PAYLOAD_ERROR`. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: string,
    message: string,
    more: { retryable?: boolean; details?: Record<string, unknown> | null } = {},
  ) {
    super(message);
    this.code = code;
    this.retryable = more.retryable ?? false;
    this.details = more.details ?? {};
  }
}

/** What the other side sent is against the protocol. */
export function protocolError(message: string): OpenEnvError {
  return new OpenEnvError("PROTOCOL_ERROR", message);
}

/** A value cannot be sent, or is not what it says that it is. */
export function payloadError(message: string): OpenEnvError {
  return new OpenEnvError("PAYLOAD_ERROR", message);
}

/** The link is gone, and its sessions with it. */
export function connectionLost(why: string): OpenEnvError {
  return new OpenEnvError("CONNECTION_LOST", why);
}

/** What was thrown, as an error of ours. */
export function asOpenEnvError(thrown: unknown, wrap: (message: string) => OpenEnvError): OpenEnvError {
  if (thrown instanceof OpenEnvError) return thrown;
  return wrap(thrown instanceof Error ? thrown.message : String(thrown));
}
