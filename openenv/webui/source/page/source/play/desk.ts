// What the visitor is about to do: the two forms, and one action sent at a time.

import { computed, signal } from "@preact/signals";
import type { PageConfig } from "../config";
import { Form } from "../form/form";
import type { Schema } from "../form/schema";
import { viewModule } from "../view/custom";
import { hasPicture } from "../view/pixels";
import { choicesOf, type Choice } from "./choices";
import { keysFor } from "./keys";
import type { Play } from "./play";

export class Desk {
  readonly action: Form;
  readonly options: Form;
  /** Whether the visitor wants time to pass while no key is held; null as long as nobody said so. */
  readonly wantsRealTime = signal<boolean | null>(null);
  /** The action that was sent last, to be taken again with Step. */
  readonly choice = signal<Choice | null>(null);

  readonly choices = computed(() => {
    const trace = this.play.trace.value;
    return trace.length.value ? choicesOf(this.config, trace.last?.observation) : choicesOf(this.config, undefined);
  });
  readonly keys = computed(() =>
    keysFor(this.choices.value, { ...this.config.keys, ...viewModule.value?.keys }),
  );
  /** What moves is a game in time, unless the visitor has it otherwise. */
  readonly isRealTime = computed(() => {
    if (!this.keys.value.nothing) return false;
    return this.wantsRealTime.value ?? this.hasPicture.value;
  });
  private readonly hasPicture = computed(() => {
    const trace = this.play.trace.value;
    const last = trace.length.value ? trace.last : undefined;
    return hasPicture(last?.observation);
  });
  readonly isOver = computed(() => {
    const trace = this.play.trace.value;
    const last = trace.length.value ? trace.last : undefined;
    return Boolean(last?.done || last?.truncated);
  });

  constructor(
    readonly config: PageConfig,
    readonly play: Play,
  ) {
    this.action = new Form(config.action_schema);
    this.options = new Form(withOthers(config.reset_schema));
  }

  async reset(): Promise<void> {
    const options = this.options.checked();
    if (options === undefined) return;
    this.follow();
    if (!this.play.hasSession.value) await this.play.recover();
    const { [OTHERS]: others, ...named } = options as Record<string, unknown>;
    await this.play.reset({ ...named, ...(others as object | undefined) });
    this.showFieldError(this.options);
  }

  /** Send what the form holds. */
  async step(): Promise<boolean> {
    const action = this.action.checked();
    if (action === undefined) return false;
    const isTaken = await this.send(action);
    this.showFieldError(this.action);
    return isTaken;
  }

  async choose(choice: Choice): Promise<void> {
    this.choice.value = choice;
    const form = this.action.value.peek();
    const isPart = isObject(choice.action) && isObject(form);
    this.action.replace(isPart ? { ...form, ...(choice.action as object) } : choice.action);
    await this.send(choice.action);
  }

  async send(action: unknown): Promise<boolean> {
    this.follow();
    return this.play.step(action);
  }

  /** Whoever acts wants to see what comes of it. */
  private follow(): void {
    this.play.trace.value.chosen.value = null;
  }

  /** What the server says of a field belongs beside it. */
  private showFieldError(form: Form): void {
    const problem = this.play.problem.value;
    if (problem?.path && form.showServerError(problem.path, problem.message)) {
      this.play.problem.value = null;
    }
  }
}

/** The field for options that only the environment knows. */
const OTHERS = "other options";

function withOthers(schema: Schema): Schema {
  if (schema.additionalProperties !== true) return schema;
  const others: Schema = { type: "object", description: "By name, in JSON; the README may say which there are." };
  return { ...schema, properties: { ...schema.properties, [OTHERS]: others } };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
