import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Representation, representationOf } from '#kernel/http/representation.ts'

const swaggerUi = (name: string) => createRequire(import.meta.url).resolve(`swagger-ui-dist/${name}`)
const own = (path: string) => new URL(path, import.meta.url)

const types = { css: 'text/css; charset=UTF-8', js: 'text/javascript; charset=UTF-8', svg: 'image/svg+xml' }

const sources = {
  'icon.svg': own('pages/icon.svg'),
  'page.css': own('pages/page.css'),
  'reference.css': own('reference/reference.css'),
  'swagger-theme.css': own('reference/swagger-theme.css'),
  'reference.js': own('reference/reference.js'),
  'session.js': own('reference/session.js'),
  'demo-sign-in.js': own('reference/demo-sign-in.js'),
  'swagger-plugins.js': own('reference/swagger-plugins.js'),
  'swagger-ui.css': swaggerUi('swagger-ui.css'),
  'swagger-ui-bundle.js': swaggerUi('swagger-ui-bundle.js'),
}

/**
 * Reads the files that the pages load. They are read at the first request, because most processes serve no pages.
 * @returns a function that returns the files, and the path of their folder. The path contains a hash of all files, so that
 * browsers may keep the files for long: files with another content have another path
 */
export function createPageAssets() {
  let loaded: { folder: string; files: ReadonlyMap<string, Representation> } | undefined
  return () => {
    if (loaded) return loaded
    const files = new Map(
      Object.entries(sources).map(([name, path]): [string, Representation] => {
        const extension = name.slice(name.lastIndexOf('.') + 1) as keyof typeof types
        return [name, representationOf(readFileSync(path), types[extension])]
      }),
    )
    const tags = [...files.values()].map(({ etag }) => etag)
    const version = hash('sha256', tags.join(), 'base64url').slice(0, 16)
    loaded = { folder: `/docs/assets/${version}`, files }
    return loaded
  }
}

/** The names of all files, as a pattern of a route. */
export const assetNames = Object.keys(sources)
  .map((name) => name.replaceAll('.', '\\.'))
  .join('|')
