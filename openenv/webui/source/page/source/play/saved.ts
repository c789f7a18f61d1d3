// What a reload must not lose: the link, so that the session goes on, and the end of the log.
// It is stored only while the page is away: a copied tab must not take the session of the first.

import { fromJson, toJson, type Link, type SavedLink } from "openenv";
import type { Entry, Trace } from "../trace";

const KEY = "openenv.page";
/** Browsers keep about 5 million characters for a site. */
const MAX_CHARACTERS = 4_000_000;

interface SavedPage {
  link: SavedLink;
  entries: unknown[];
  asked: Asked;
}

/** What was sent last; its reply may come to the page after the reload. */
export interface Asked {
  action: unknown;
  options?: unknown;
}

export function savedPage(): SavedPage | undefined {
  const text = sessionStorage.getItem(KEY);
  forgetSaved();
  return text ? (JSON.parse(text) as SavedPage) : undefined;
}

const store = (text: string): void => sessionStorage.setItem(KEY, text);

/** Put it back: the page goes before it could use it. */
export const keepSaved = (saved: SavedPage): void => store(JSON.stringify(saved));

export const forgetSaved = (): void => sessionStorage.removeItem(KEY);

export function savePage(link: Link | null, trace: Trace, asked: Asked): void {
  if (link?.state === "closed" || !link) return;
  const entries: string[] = [];
  const rest = `"link":${JSON.stringify(link.save())},"asked":${JSON.stringify(toJson(asked))}`;
  let left = MAX_CHARACTERS - rest.length;
  // The newest first, as many as there is room for.
  for (const entry of [...trace.entries].reverse()) {
    const text = JSON.stringify(toJson(entry));
    if ((left -= text.length) < 0) break;
    entries.unshift(text);
  }
  store(`{${rest},"entries":[${entries.join(",")}]}`);
}

export function restoreTrace(trace: Trace, entries: unknown[] = []): void {
  for (const entry of entries) {
    const { reward, total, ...others } = fromJson(entry) as Entry;
    // JSON spells NaN and the infinities.
    trace.add({ ...others, reward: typeof reward === "string" ? Number(reward) : reward, total: Number(total) });
  }
}
