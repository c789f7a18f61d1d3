// The environment's README and quick start. Whatever they hold, nothing in them can run.

import DOMPurify from "dompurify";
import { marked } from "marked";
import { useMemo } from "preact/hooks";
import type { PageConfig } from "./config";

export function AboutPage({ config }: { config: PageConfig }) {
  return (
    <main class="about">
      {config.quick_start && (
        <section class="card prose" aria-label="Quick start">
          <Markdown text={config.quick_start} />
        </section>
      )}
      <section class="card prose" aria-label="README">
        {config.readme ? <Markdown text={config.readme} /> : <p class="empty">This environment has no README.</p>}
      </section>
    </main>
  );
}

function Markdown({ text }: { text: string }) {
  const html = useMemo(() => cleaned(text), [text]);
  return <div dangerouslySetInnerHTML={{ __html: html }} />;
}

export function cleaned(text: string): string {
  const withoutFrontMatter = text.replace(/^---\n[\s\S]*?\n---\n/, "");
  const html = marked.parse(withoutFrontMatter, { async: false });
  // Styles are forbidden by the page's policy, and pictures of other hosts could not be loaded.
  const clean = DOMPurify.sanitize(html, { FORBID_ATTR: ["style"], FORBID_TAGS: ["style", "form"] });
  const page = new DOMParser().parseFromString(clean, "text/html");
  for (const link of page.querySelectorAll("a[href]")) {
    link.setAttribute("rel", "noopener noreferrer");
    if (!link.getAttribute("href")?.startsWith("#")) link.setAttribute("target", "_blank");
  }
  for (const block of page.querySelectorAll("pre, table")) block.setAttribute("tabindex", "0");
  for (const image of page.querySelectorAll("img")) image.replaceWith(image.alt);
  return page.body.innerHTML;
}
