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
}

export function savedPage(): SavedPage | undefined {
  const text = sessionStorage.getItem(KEY);
  forgetSaved();
  return text ? (JSON.parse(text) as SavedPage) : undefined;
}

export const forgetSaved = (): void => sessionStorage.removeItem(KEY);

export function savePage(link: Link | null, trace: Trace): void {
  if (link?.state === "closed" || !link) return;
  const entries: string[] = [];
  let left = MAX_CHARACTERS;
  // The newest first, as many as there is room for.
  for (const entry of [...trace.entries].reverse()) {
    const text = JSON.stringify(toJson(entry));
    if ((left -= text.length) < 0) break;
    entries.unshift(text);
  }
  const text = `{"link":${JSON.stringify(link.save())},"entries":[${entries.join(",")}]}`;
  sessionStorage.setItem(KEY, text);
}

export function restoreTrace(trace: Trace, entries: unknown[] = []): void {
  for (const entry of entries) trace.add(fromJson(entry) as Entry);
}
