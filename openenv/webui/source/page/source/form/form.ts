// One form while it is filled in: its value, and what is wrong with it.

import { signal } from "@preact/signals";
import { changed, initial, pointer, pointerOf, removed, type Path } from "./data";
import type { Schema } from "./schema";
import { problems } from "./validate";

export class Form {
  readonly value = signal<unknown>(undefined);
  /** Grows when the whole value was replaced: controls with a text of their own then read it anew. */
  readonly version = signal(0);
  readonly errors = signal<ReadonlyMap<string, string>>(new Map());
  /** Fields that hold what cannot be read yet, such as half of a JSON text. */
  private readonly unreadable = new Map<string, string>();

  constructor(readonly schema: Schema) {
    this.value.value = initial(schema) ?? {};
  }

  replace(value: unknown): void {
    this.value.value = value;
    this.version.value++;
    this.unreadable.clear();
    this.errors.value = new Map();
  }

  set(path: Path, to: unknown): void {
    this.value.value = changed(this.value.value, path, to);
    for (const one of this.unreadable.keys()) if (isWithin(one, pointer(path))) this.unreadable.delete(one);
    this.forget(path);
  }

  /** Take an element out of its list. Those behind it move up, so what controls hold is read anew. */
  remove(path: Path): void {
    this.replace(removed(this.value.value, path));
  }

  /** The field holds what is no value: nothing is sent before that is mended. */
  refuse(path: Path, message: string): void {
    this.unreadable.set(pointer(path), message);
    this.errors.value = new Map(this.errors.value).set(pointer(path), message);
  }

  /** The value, or undefined with the reasons at their fields. */
  checked(): unknown {
    const found = problems(this.value.value, this.schema);
    for (const [at, message] of this.unreadable) found.set(at, message);
    this.errors.value = found;
    return found.size ? undefined : this.value.value;
  }

  /** Show what the server says of a field; whether the form has that field. */
  showServerError(serverPath: string, message: string): boolean {
    const at = pointerOf(serverPath);
    const [first] = at.split("/").filter(Boolean);
    if (!first || !this.schema.properties?.[first]) return false;
    this.errors.value = new Map(this.errors.value).set(at, message);
    return true;
  }

  private forget(path: Path): void {
    const at = pointer(path);
    const left = [...this.errors.value].filter(([one]) => !isWithin(one, at));
    if (left.length < this.errors.value.size) this.errors.value = new Map(left);
  }
}

const isWithin = (one: string, at: string): boolean => one === at || one.startsWith(`${at}/`);
