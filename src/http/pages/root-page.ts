import { html } from 'hono/html'
import { layout } from './layout.ts'

export const rootPage = (assets: string): string =>
  layout({
    title: 'Trivet API',
    assets,
    main: html`
      <h1>Trivet API</h1>
      <p>The API of a shop: accounts, products and orders.</p>
      <ul class="cards">
        <li><a href="/docs">Reference</a> Every operation with its parameters, examples and errors. Try each one in the page.</li>
        <li><a href="/problems">Problems</a> What each error means, and what to do about it.</li>
        <li><a href="/openapi.json">OpenAPI document</a> The same contract for programs, such as generators of clients.</li>
      </ul>
      <p class="quiet">Programs get this page as JSON.</p>`,
  })
