// The left pane: the human agent, with whatever fits this environment to act with.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { FileInput } from "../form/documents";
import { Fields } from "../form/fields";
import { Fold } from "../form/fold";
import type { Form } from "../form/form";
import { Chat } from "./chat";
import type { Desk } from "./desk";
import { leaveFocus, Pad } from "./pad";

export function Agent({ desk }: { desk: Desk }) {
  const { play, config } = desk;
  const hasPad = desk.choices.value.length > 0;
  return (
    <section class="card agent" aria-label="Human agent">
      <Toolbar desk={desk} />
      <ResetOptions form={desk.options} desk={desk} />
      <ProblemNote desk={desk} />
      <Pad desk={desk} />
      {config.is_chat ? (
        <Chat desk={desk} />
      ) : hasPad ? (
        <Fold title="Action as a form" isNeeded={desk.action.errors.value.size > 0}>
          <ActionForm desk={desk} />
        </Fold>
      ) : (
        <ActionForm desk={desk} />
      )}
      {!play.hasSession.value && !hasPad && play.status.value === "open" && (
        <p class="empty">Reset begins an episode; Step sends the action.</p>
      )}
    </section>
  );
}

function Toolbar({ desk }: { desk: Desk }) {
  const { play } = desk;
  const has = play.hasSession.value;
  const canReset = play.status.value !== "connecting" && play.status.value !== "unreachable";
  const suggestsReset = !has || desk.isOver.value;
  return (
    <div class="toolbar" role="toolbar" aria-label="Episode">
      <button
        type="button"
        class={suggestsReset ? "primary" : ""}
        disabled={!canReset}
        onClick={(event) => {
          leaveFocus(event);
          void desk.reset();
        }}
      >
        Reset
      </button>
      <button type="submit" form="action" class={suggestsReset ? "" : "primary"} disabled={!has} onClick={leaveFocus}>
        Step
      </button>
      <button type="button" disabled={!has} onClick={() => void play.readState()}>State</button>
      <button type="button" disabled={!has} onClick={() => void play.close()}>Close</button>
      {play.isBusy.value && <span class="busy" aria-hidden="true" />}
    </div>
  );
}

function ResetOptions({ form, desk }: { form: Form; desk: Desk }) {
  if (!Object.keys(form.schema.properties ?? {}).length) return null;
  const value = form.value.value as Record<string, unknown>;
  const given = Object.keys(value).filter((key) => value[key] !== undefined && value[key] !== null);
  return (
    <Fold title="Options of Reset" note={given.join(", ")} isNeeded={form.errors.value.size > 0}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void desk.reset();
        }}
      >
        <Fields form={form} schema={form.schema} path={[]} value={value} />
        <button type="submit" class="hidden" tabIndex={-1}>Begin</button>
      </form>
    </Fold>
  );
}

export function ProblemNote({ desk }: { desk: Desk }) {
  const { play } = desk;
  const problem = play.problem.value;
  if (!problem) return null;
  return (
    <div class="problem" role="alert">
      <p>{problem.message}</p>
      {problem.remedy === "begin anew" && <button type="button" onClick={() => void desk.reset()}>Begin anew</button>}
      {problem.remedy === "connect" && <button type="button" onClick={() => void play.connect()}>Try again</button>}
      {problem.remedy === "reset" && <button type="button" onClick={() => void desk.reset()}>Begin an episode</button>}
    </div>
  );
}

/** The action by its fields, or as JSON. */
function ActionForm({ desk }: { desk: Desk }) {
  const form = desk.action;
  const asJson = useSignal(false);
  const element = useRef<HTMLFormElement>(null);
  const turn = () => {
    asJson.value = !asJson.value;
    // Text that is no JSON stays behind.
    form.replace(form.value.peek());
  };
  const send = async () => {
    if (!(await desk.step())) focusFirstError(element.current);
  };
  return (
    <form
      id="action"
      ref={element}
      noValidate
      aria-label="Action"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
      onKeyDown={(event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          void send();
        }
      }}
    >
      <div class="row">
        <h2>Action</h2>
        <button type="button" class="small" aria-pressed={asJson.value} onClick={turn}>
          {asJson.value ? "As a form" : "As JSON"}
        </button>
        <FileInput label="Action from a JSON file" accept=".json,application/json" onFile={(file) => load(form, file)} />
      </div>
      {asJson.value ? (
        <JsonAction form={form} />
      ) : (
        <Fields form={form} schema={form.schema} path={[]} value={form.value.value} />
      )}
      <WholeError form={form} />
    </form>
  );
}

async function load(form: Form, file: File): Promise<void> {
  try {
    form.replace(JSON.parse(await file.text()));
  } catch (error) {
    form.refuse([], `${file.name} is no JSON: ${(error as Error).message}`);
  }
}

function JsonAction({ form }: { form: Form }) {
  const text = useSignal("");
  useEffect(() => {
    text.value = JSON.stringify(form.value.peek(), null, 2);
  }, [form.version.value]);
  const take = (given: string) => {
    text.value = given;
    try {
      form.set([], JSON.parse(given));
    } catch (error) {
      form.refuse([], `This is no JSON: ${(error as Error).message}`);
    }
  };
  return (
    <div class="field">
      <label for="action-json">Action as JSON</label>
      <textarea
        id="action-json"
        class="code"
        rows={8}
        spellcheck={false}
        value={text.value}
        onInput={(event) => take(event.currentTarget.value)}
      />
    </div>
  );
}

/** Errors that have no field on the page: of the whole action, or inside of a JSON text. */
function WholeError({ form }: { form: Form }) {
  const error = form.errors.value.get("");
  return error ? <p class="field-error" role="alert">{error}</p> : null;
}

function focusFirstError(element: HTMLFormElement | null): void {
  element?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
}
