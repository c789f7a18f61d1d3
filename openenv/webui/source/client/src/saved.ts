/** A link as plain data, so that it survives the page it was opened on. */

import { fromBase64, toBase64 } from "./base64.js";
import { OpenEnvError } from "./errors.js";
import { Numbers } from "./numbers.js";
import { WIRES } from "./wire.js";

export interface SavedLink extends SavedNumbers {
  version: 1;
  subprotocol: string;
  token: string;
  lastId: number;
  lastSession: number;
  sessions: { number: number; token: string; label: string | null }[];
  pending: { id: number; session: number; kind: string }[];
  watches: number[];
}

interface SavedNumbers {
  sent: number;
  received: number;
  acknowledged: number;
  /** Text, and bytes in base64 as `{ base64 }`. */
  kept: (string | { base64: string })[];
}

export function saveNumbers({ sent, received, acknowledged, kept }: Numbers): SavedNumbers {
  const texts = kept.map((data) => (typeof data === "string" ? data : { base64: toBase64(data) }));
  return { sent, received, acknowledged, kept: texts };
}

export function restoreNumbers({ sent, received, acknowledged, kept }: SavedNumbers): Numbers {
  const messages = kept.map((data) => (typeof data === "string" ? data : fromBase64(data.base64)));
  return Object.assign(new Numbers(), { sent, received, acknowledged, kept: messages });
}

/** Throws CONFIGURATION_ERROR for what `save` did not return. */
export function checkSaved(saved: SavedLink | null | undefined): SavedLink | null {
  if (!saved) return null;
  const isSaved =
    saved.version === 1 &&
    typeof saved.token === "string" &&
    WIRES.has(saved.subprotocol) &&
    [saved.kept, saved.sessions, saved.pending, saved.watches].every(Array.isArray);
  if (isSaved) return saved;
  throw new OpenEnvError("CONFIGURATION_ERROR", "resumeFrom is not what save() returned");
}
