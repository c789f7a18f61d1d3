// A conversation out of observations, or out of what was sent and what came back.

import type { Schema } from "../form/schema";
import { fieldsOf } from "../form/schema";
import type { Entry } from "../trace";
import { brief, children, isRecord } from "../values";

export interface Message {
  role: string;
  content: string;
}

/** The field of the action in which something is said. */
export function messageField(schema: Schema): string | undefined {
  const texts = fieldsOf(schema, schema).filter(({ kind }) => kind === "text" || kind === "prose");
  const named = texts.find(({ name }) => /^(message|content|text|prompt|answer|response|utterance)$/.test(name));
  return (named ?? texts[0])?.name;
}

export function transcript(episode: Entry[], field: string): Message[] {
  const told = messagesIn(episode.at(-1)?.observation);
  if (told) return told;
  return episode.flatMap((entry) => {
    const said = isRecord(entry.action) ? entry.action[field] : undefined;
    const messages: Message[] = typeof said === "string" && said ? [{ role: "assistant", content: said }] : [];
    return [...messages, { role: "user", content: answerOf(entry.observation) }];
  });
}

/** The list of what everybody has said, where the observation has one. */
function messagesIn(observation: unknown): Message[] | undefined {
  const lists = children(observation).map(([, value]) => value);
  return lists.find((list): list is Message[] => Array.isArray(list) && list.length > 0 && list.every(isMessage));
}

const isMessage = (value: unknown): value is Message =>
  isRecord(value) && typeof value["role"] === "string" && typeof value["content"] === "string";

function answerOf(observation: unknown): string {
  if (!isRecord(observation)) return brief(observation);
  const texts = Object.values(observation).filter((value) => typeof value === "string" && value !== "");
  return (texts[0] as string | undefined) ?? brief(observation);
}
