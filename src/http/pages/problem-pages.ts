import { STATUS_CODES } from 'node:http'
import { html } from 'hono/html'
import { inlineMarkdown, layout } from './layout.ts'

/** What a client can learn about a problem. */
export interface ProblemType {
  type: string
  code: string
  status: number
  title: string
  meaning: string
  advice: string
  retryable: boolean
  example: object
}

export const problemPage = (problem: ProblemType, assets: string): string =>
  layout({
    title: `${problem.code}: ${problem.title}`,
    assets,
    main: html`
      <p class="quiet"><a href="/problems">All problems</a></p>
      <h1>${problem.title}</h1>
      <p><code class="tag">${problem.code}</code> <span class="tag">${problem.status} ${STATUS_CODES[problem.status]}</span></p>
      <h2>What it means</h2>
      <p>${inlineMarkdown(problem.meaning)}</p>
      <h2>What to do</h2>
      <p>${inlineMarkdown(problem.advice)}</p>
      <h2>Whether to retry</h2>
      <p>${problem.retryable ? retry : doNotRetry}</p>
      <h2>Example</h2>
      <pre tabindex="0"><code>${JSON.stringify(problem.example, null, 2)}</code></pre>`,
  })

const retry = html`<strong>Yes.</strong> A program should send the same request again by itself. It should wait for
  <code>Retry-After</code> seconds first if the answer has this header, and longer after each further failure.`
const doNotRetry = html`<strong>No.</strong> A program should not send the same request again by itself.`

const byStatus = (problems: readonly ProblemType[]) => problems.toSorted((a, b) => a.status - b.status)

export const problemListPage = (problems: readonly ProblemType[], assets: string): string =>
  layout({
    title: 'Problems of the Trivet API',
    current: '/problems',
    assets,
    main: html`
      <h1>Problems</h1>
      <p>Every error of the API is a problem document (<a href="https://www.rfc-editor.org/rfc/rfc9457">RFC 9457</a>). Its
        <code>code</code> is stable, so programs should branch on it. Its
        <code>retryable</code> says whether a program should send the same request again by itself.</p>
      <ul class="list">
        ${byStatus(problems).map(
          ({ code, status, title, retryable }) => html`
        <li><span class="quiet">${status}</span> <a href="/problems/${code}"><code>${code}</code></a>
          <span>${title}${retryable && html` <span class="tag">retryable</span>`}</span></li>`,
        )}
      </ul>`,
  })
