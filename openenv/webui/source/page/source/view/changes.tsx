// What the last step has changed, old beside new.

import { brief, readable } from "../values";
import type { Change } from "./diff";

export function Changes({ changes }: { changes: Change[] }) {
  if (!changes.length) return <p class="empty">Nothing is different from the step before.</p>;
  return (
    <table class="changes">
      <caption class="hidden">What is different from the step before</caption>
      <thead>
        <tr><th scope="col">what</th><th scope="col">before</th><th scope="col">now</th></tr>
      </thead>
      <tbody>
        {changes.slice(0, 200).map((change) => (
          <tr key={change.path} class={change.kind}>
            <th scope="row">{change.path || "observation"}</th>
            {change.elements ? (
              <td colSpan={2}>{elements(change.elements)}</td>
            ) : (
              <>
                <td>{change.kind === "added" ? <i>none</i> : <del>{brief(change.before, 200)}</del>}</td>
                <td>{change.kind === "removed" ? <i>none</i> : <ins>{brief(change.after, 200)}</ins>}</td>
              </>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const elements = ([changed, all]: [number, number]) =>
  `${changed.toLocaleString("en")} of ${all.toLocaleString("en")} elements (${readable((changed / all) * 100, 2)} %)`;
