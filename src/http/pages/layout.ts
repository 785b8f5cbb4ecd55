import { html } from 'hono/html'

export type Html = ReturnType<typeof html>

const pages = [
  ['/docs', 'Reference'],
  ['/problems', 'Problems'],
  ['/openapi.json', 'OpenAPI document'],
] as const

interface PageOptions {
  title: string
  /** The path of the folder of the page's files. */
  assets: string
  /** The path of the page, if the bar has a link to it. */
  current?: string
}

/** A page with the bar at its top. `html` escapes what it inserts. */
export const pageWithBar = (
  options: PageOptions & {
    content: Html
    /** More elements of the head. */
    head?: Html
    /** More elements of the bar. */
    controls?: Html
  },
): string =>
  html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${options.title}</title>
    <link rel="icon" href="${options.assets}/icon.svg" type="image/svg+xml">
    <link rel="stylesheet" href="${options.assets}/page.css">${options.head}
  </head>
  <body>
    <header class="bar">
      <a class="brand" href="/"><img src="${options.assets}/icon.svg" alt="" width="28" height="28">Trivet</a>
      <nav aria-label="Pages">
        ${pages.map(([path, name]) => html`<a href="${path}"${options.current === path && html` aria-current="page"`}>${name}</a>`)}
      </nav>${options.controls}
    </header>${options.content}
  </body>
</html>
`.toString()

/** A page of text, without scripts. */
export const layout = ({ main, ...options }: PageOptions & { main: Html }): string =>
  pageWithBar({
    ...options,
    content: html`
    <main class="text">
${main}
    </main>`,
  })

/** Shows text with the one element of Markdown that the descriptions of problems have: code between backticks. */
export const inlineMarkdown = (text: string): Html[] =>
  text.split('`').map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : html`${part}`))
