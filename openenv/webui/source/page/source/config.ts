// What the server says of itself in web/config.json, and where it is.

import type { Schema } from "./form/schema";

export interface Choice {
  label: string;
  action: unknown;
}

export interface PageConfig {
  name: string;
  title: string;
  version: string;
  readme?: string | null;
  quick_start?: string | null;
  action_schema: Schema;
  observation_schema: Schema;
  state_schema: Schema;
  reset_schema: Schema;
  is_chat: boolean;
  watch: boolean;
  view: string | null;
  render: boolean;
  replay: string | null;
  discrete_actions: Choice[] | null;
  keys: Record<string, unknown> | null;
}

/** The server's own address: the page lies at web/ below it, also where the server is mounted. */
export const server = (): URL => new URL("..", location.href);

/** An address that the server gave, such as /web/view.js, below wherever it is mounted. */
export const below = (path: string): URL => new URL(path.replace(/^\//, ""), server());

export async function loadConfig(): Promise<PageConfig> {
  const response = await fetch(below("web/config.json"));
  if (!response.ok) throw new Error(`web/config.json: ${response.status} ${response.statusText}`);
  return (await response.json()) as PageConfig;
}
