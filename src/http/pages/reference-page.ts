import { html } from 'hono/html'
import { pageWithBar } from './layout.ts'

/** The page in which Swagger UI shows the document. @param demo whether a button signs in with the demo's account */
export const referencePage = (assets: string, demo: boolean): string =>
  pageWithBar({
    title: 'Trivet API reference',
    current: '/docs',
    assets,
    head: html`
    <link rel="stylesheet" href="${assets}/reference.css">
    <script src="${assets}/swagger-ui-bundle.js" defer></script>
    <script src="${assets}/reference.js" type="module"></script>`,
    controls: html`
      <div class="session">
        <p id="session-state" role="status"></p>
        <button id="sign-in-demo" type="button" class="button primary" data-demo="${String(demo)}" hidden>Sign in with the demo account</button>
        <button id="sign-in" class="button" type="button" hidden>Sign in</button>
        <button id="sign-out" class="button" type="button" hidden>Sign out</button>
      </div>`,
    content: html`
    <dialog id="sign-in-dialog" aria-labelledby="sign-in-title">
      <form id="sign-in-form">
        <h2 id="sign-in-title">Sign in</h2>
        <p>The page keeps the sign-in until this tab closes.</p>
        <label>Username or e-mail address <input name="name" autocomplete="username" required maxlength="254"></label>
        <label>Password <input name="password" type="password" autocomplete="current-password" required maxlength="1000"></label>
        <p id="sign-in-fault" role="alert"></p>
        <div class="buttons">
          <button type="button" id="sign-in-cancel" class="button">Cancel</button>
          <button type="submit" id="sign-in-submit" class="button primary">Sign in</button>
        </div>
      </form>
    </dialog>
    <div id="reference">
      <noscript><p class="notice">The reference needs JavaScript. <a href="/openapi.json">/openapi.json</a> has the same content for programs.</p></noscript>
    </div>`,
  })
