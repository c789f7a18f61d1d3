import { describe, expect, test } from "vitest";
import { changed, initial, pointer, pointerOf } from "../source/form/data";
import { Form } from "../source/form/form";
import { emptied, fieldOf, fieldsOf, isMinor, type Schema } from "../source/form/schema";
import { problems } from "../source/form/validate";

const CODE: Schema = {
  type: "object",
  properties: {
    code: { type: "string" },
    metadata: { type: "object" },
    timeout: { type: "number", exclusiveMinimum: 0, maximum: 300, default: 30 },
    files: { type: "array", items: { type: "string" }, maxItems: 2 },
    note: { anyOf: [{ type: "string" }, { type: "null" }], default: null },
  },
  required: ["code"],
};

const NESTED: Schema = {
  type: "object",
  properties: { moves: { type: "array", items: { $ref: "#/$defs/Move" } } },
  required: ["moves"],
  $defs: {
    Move: {
      type: "object",
      properties: { piece: { enum: ["king", "queen"] }, to: { type: "integer", minimum: 0, maximum: 63 } },
      required: ["piece", "to"],
    },
  },
};

describe("what a schema says of its fields", () => {
  test("code, numbers, lists and optional values get their own controls", () => {
    const kinds = Object.fromEntries(fieldsOf(CODE, CODE).map(({ name, kind }) => [name, kind]));
    expect(kinds).toEqual({ code: "code", metadata: "json", timeout: "number", files: "list", note: "text" });
  });

  test("references are followed, and null is no kind of its own", () => {
    const item = fieldOf("move", { $ref: "#/$defs/Move" }, NESTED, true);
    expect(item.kind).toBe("object");
    const optional = fieldOf("note", CODE.properties!["note"]!, CODE, false);
    expect([optional.kind, optional.isNullable]).toEqual(["text", true]);
    const listed = fieldOf("note", { type: ["integer", "null"] }, CODE, false);
    expect([listed.kind, listed.isNullable]).toEqual(["integer", true]);
  });

  test("a reference that leads in a circle is no endless one", () => {
    const circle: Schema = { $defs: { A: { $ref: "#/$defs/A" } } };
    expect(fieldOf("a", { $ref: "#/$defs/A" }, circle, true).kind).toBe("json");
  });

  test("what hardly anybody gives is folded away", () => {
    const fields = fieldsOf(CODE, CODE);
    expect(fields.filter((one) => isMinor(one, fields)).map((one) => one.name)).toEqual(["metadata", "note"]);
  });
});

describe("what a form holds", () => {
  test("it starts with the defaults and with nothing that nobody gave", () => {
    expect(initial(CODE)).toEqual({ timeout: 30 });
    const fixed: Schema = { type: "array", items: { type: "number", minimum: 1, maximum: 3 }, minItems: 2, maxItems: 2 };
    expect(initial({ type: "object", properties: { at: fixed }, required: ["at"] })).toEqual({ at: [1, 1] });
  });

  test("one place is changed, and the rest stays the same", () => {
    const value = { moves: [{ piece: "king", to: 1 }, { piece: "queen", to: 2 }], other: 1 };
    const next = changed(value, ["moves", 1, "to"], 63) as typeof value;
    expect(next.moves[1]).toEqual({ piece: "queen", to: 63 });
    expect(next.moves[0]).toBe(value.moves[0]);
    expect(value.moves[1]!.to).toBe(2);
    expect(changed(value, ["other"], undefined)).toEqual({ moves: value.moves });
  });

  test("the server's paths lead to the same fields", () => {
    expect(pointerOf(".moves[2].piece")).toBe("/moves/2/piece");
    expect(pointer(["a/b", "c~d", 0])).toBe("/a~1b/c~0d/0");
  });
});

describe("what is wrong with a value", () => {
  test("is said at the field, in plain words", () => {
    expect(problems({ timeout: 0 }, CODE)).toEqual(
      new Map([
        ["/code", "Please fill this in."],
        ["/timeout", "This must be above 0."],
      ]),
    );
    expect(problems({ code: "x", timeout: 301 }, CODE).get("/timeout")).toBe("This must be at most 300.");
    expect(problems({ code: "x", files: ["a", "b", "c"] }, CODE).get("/files")).toBe("At most 2, please.");
    expect(problems({ code: 3 }, CODE).get("/code")).toBe("This must be of type string.");
  });

  test("is found in lists and behind references", () => {
    const found = problems({ moves: [{ piece: "pawn", to: 64 }] }, NESTED);
    expect([...found.keys()].sort()).toEqual(["/moves/0/piece", "/moves/0/to"]);
  });

  test("a form sends nothing before it is mended", () => {
    const form = new Form(CODE);
    expect(form.checked()).toBeUndefined();
    form.set(["code"], "1 + 1");
    expect(form.checked()).toEqual({ code: "1 + 1", timeout: 30 });
    form.refuse(["metadata"], "This is no JSON");
    expect(form.checked()).toBeUndefined();
    form.set(["metadata"], {});
    expect(form.checked()).toEqual({ code: "1 + 1", timeout: 30, metadata: {} });
  });

  test("what the server says of a field stands beside it", () => {
    const form = new Form(NESTED);
    expect(form.showServerError(".moves[0].to", "illegal")).toBe(true);
    expect(form.errors.value.get("/moves/0/to")).toBe("illegal");
    expect(form.showServerError(".elsewhere", "illegal")).toBe(false);
  });
});

describe("a form with values that may be missing", () => {
  const ODD: Schema = {
    type: "object",
    properties: {
      rows: { type: "array", items: { type: "integer" } },
      kind: { anyOf: [{ type: "integer" }, { type: "null" }] },
      mode: { anyOf: [{ type: "string" }, { type: "null" }], default: "fast" },
      note: { anyOf: [{ type: "string" }, { type: "null" }], default: null },
    },
    required: ["kind"],
  };

  test("can be sent with null where null is meant", () => {
    const form = new Form(ODD);
    expect(form.checked()).toEqual({ kind: null, mode: "fast" });
    const fields = fieldsOf(ODD, ODD).map((field) => [field.name, emptied(field)]);
    expect(Object.fromEntries(fields)).toEqual({ rows: undefined, kind: null, mode: null, note: undefined });
  });

  test("says so of an element that was emptied", () => {
    const form = new Form(ODD);
    form.set(["rows"], [1, 2]);
    form.set(["rows", 1], undefined);
    expect(form.checked()).toBeUndefined();
    expect([...form.errors.value]).toEqual([["/rows/1", "This must be of type integer."]]);
  });

  test("forgets what was unreadable in an element that is removed", () => {
    const form = new Form(ODD);
    form.set(["rows"], [1, 2, 3]);
    form.refuse(["rows", 1], "This is no number.");
    form.remove(["rows", 1]);
    expect(form.checked()).toEqual({ kind: null, mode: "fast", rows: [1, 3] });
  });
});
