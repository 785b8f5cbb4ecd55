import type { Result, Router } from 'hono/router'
import { RegExpRouter } from 'hono/router/reg-exp-router'
import { SmartRouter } from 'hono/router/smart-router'
import { TrieRouter } from 'hono/router/trie-router'

/** Hono's default: the fastest router that supports all the paths. */
const createPathRouter = <T>(): Router<T> =>
  new SmartRouter<T>({ routers: [new RegExpRouter(), new TrieRouter()] })

/**
 * A router in which a literal path is a resource of its own: `/things/new` does not have the methods of `/things/:id`. Hono's routers try
 * every pattern that matches a path, and the fastest one supports no literal path beside a pattern.
 */
export class LiteralPathRouter<T> implements Router<T> {
  readonly name = 'LiteralPathRouter'
  readonly #literalPaths = new Set<string>()
  readonly #literals = createPathRouter<T>()
  readonly #patterns = createPathRouter<T>()

  add(method: string, path: string, handler: T): void {
    const isForAll = path.endsWith('*')
    const isPattern = path.includes(':')
    if (!isForAll && !isPattern) this.#literalPaths.add(path)
    if (isForAll || !isPattern) this.#literals.add(method, path, handler)
    if (isForAll || isPattern) this.#patterns.add(method, path, handler)
  }

  match(method: string, path: string): Result<T> {
    return (this.#literalPaths.has(path) ? this.#literals : this.#patterns).match(method, path)
  }
}
