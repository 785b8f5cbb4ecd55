import pLimit from 'p-limit'
import { type Api, ProblemError, type Schemas } from '../client/api.ts'
import type { CatalogueLine } from './catalogue.ts'
import type { Journal } from './journal.ts'

/** The shop answers requests that wait together in one batch, so that more at a time are faster up to a point. */
const maxConcurrent = 16
/** An access token is valid for 15 minutes. */
const newSessionAfterMs = 600_000

type Problem = Schemas['Problem']

export interface ImportResult {
  created: number
  /** The shop created these products for an earlier run, which ended before it could note them. */
  replayed: number
  refused: { lineNumber: number; reason: string }[]
}

/**
 * Creates the products of the lines that the journal does not have. Each request has a key that is made of the SKU. If the program
 * dies between the request and its entry in the journal, the next run sends the same key, and the shop repeats its answer.
 * @throws ProblemError, or the error of the connection, if the shop does not answer after several attempts. Another run continues.
 */
export async function importProducts(options: {
  signIn: () => Promise<Api>
  lines: readonly CatalogueLine[]
  journal: Journal
  onProgress: (done: number) => void
}): Promise<ImportResult> {
  const { lines, journal, onProgress } = options
  const session = renewed(options.signIn)
  const result: ImportResult = { created: 0, replayed: 0, refused: [] }
  const limit = pLimit(maxConcurrent)
  let done = 0

  const importLine = async ({ lineNumber, sku, product }: CatalogueLine): Promise<void> => {
    const api = await session()
    const { data, error, response } = await api.POST('/products', {
      params: { header: { 'Idempotency-Key': `catalogue-${sku}` } },
      body: product,
    })
    if (data) {
      journal.add(sku, data.productId)
      result[response.headers.has('Idempotent-Replayed') ? 'replayed' : 'created'] += 1
    } else if (response.status === 400 || response.status === 422) {
      result.refused.push({ lineNumber, reason: reasonOf(error) })
    } else {
      throw new ProblemError(error)
    }
    done += 1
    onProgress(done)
  }

  try {
    await limit.map(lines, importLine)
  } finally {
    limit.clearQueue()
  }
  return result
}

/** Signs in again when the session is old. */
function renewed(signIn: () => Promise<Api>): () => Promise<Api> {
  let session: Promise<Api> | undefined
  let signedInAt = 0
  return () => {
    const now = Date.now()
    if (session && now - signedInAt < newSessionAfterMs) return session
    signedInAt = now
    session = signIn()
    return session
  }
}

function reasonOf(problem: Problem | Schemas['ValidationFailedProblem']): string {
  if (problem.code === 'idempotency_key_reused')
    return 'the product of this sku was created with other values; change the product in the shop instead'
  if (!('errors' in problem)) return `${problem.code}: ${problem.detail}`
  return problem.errors
    .map((fault) => `${'pointer' in fault ? fault.pointer : fault.parameter} ${fault.message}`)
    .join('; ')
}
