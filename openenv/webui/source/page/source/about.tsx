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
  for (const heading of page.querySelectorAll("h1, h2, h3, h4, h5, h6")) heading.id = placeOf(heading.textContent);
  for (const link of page.querySelectorAll("a[href]")) {
    const href = link.getAttribute("href") ?? "";
    link.setAttribute("rel", "noopener noreferrer");
    if (href.startsWith("#")) link.setAttribute("href", `#${placeOf(href.slice(1))}`);
    else link.setAttribute("target", "_blank");
  }
  for (const block of page.querySelectorAll("pre, table")) block.setAttribute("tabindex", "0");
  for (const image of page.querySelectorAll("img")) image.replaceWith(image.alt);
  return page.body.innerHTML;
}

/** The name of a heading, as links in READMEs know it, below the tab that it is in. */
const placeOf = (text: string) => `about-${text.trim().toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-")}`;
