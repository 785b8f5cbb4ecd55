import type { IIngress } from 'kubernetes-models/networking.k8s.io/v1/Ingress'
import { describe, expect, test } from 'vitest'
import { documentationApi } from '#src/http/documentation-api.ts'
import { healthApi } from '#src/http/health-routes.ts'
import { registry } from '#src/registry.ts'

import {
  all,
  configOf,
  type Labels,
  moduleNames,
  named,
  namespace,
  renderings,
  targetsOf,
} from './rendered.ts'

/** How ingress controllers match a path of type Prefix: by segments (Kubernetes), or as a string (F5). */
const prefixMatchers = {
  'by its segments': (path: string, prefix: string) =>
    path === prefix || path.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`),
  'as a string': (path: string, prefix: string) => path.startsWith(prefix),
}

/** Returns the backend of the longest rule that matches a path. */
function backendOf(ingress: IIngress, path: string, matcher: keyof typeof prefixMatchers) {
  const paths = ingress.spec?.rules?.flatMap(({ http }) => http?.paths ?? []) ?? []
  const [longest] = paths
    .filter(({ path: rule = '/', pathType }) =>
      pathType === 'Exact' ? path === rule : prefixMatchers[matcher](path, rule),
    )
    .sort((a, b) => (b.path ?? '').length - (a.path ?? '').length)
  return (longest?.backend ?? ingress.spec?.defaultBackend)?.service
}

const exampleOf = (path: string) => path.replaceAll(/\{\w+\}/g, 'x')
/** Every public path and the modules that may answer it. */
const publicPaths: [path: string, hosts: string[]][] = [
  ...registry.flatMap(({ name, api }) =>
    Object.values(api).map(({ path }): [string, string[]] => [exampleOf(path), [name]]),
  ),
  ...Object.values(documentationApi([])).map(({ path }): [string, string[]] => [
    exampleOf(path),
    moduleNames,
  ]),
  ['/docs/assets/x/reference.js', moduleNames],
]
const privatePaths = [
  ...['/internal', '/internal/product/reserve', '/internalX', '/metrics', '/metrics/x'],
  ...[healthApi.checkLiveness.path, healthApi.checkReadiness.path, '/other'],
]

/** The Ingress leads each public path to a service that answers it. */
export function ingressSuite() {
  describe.each(renderings)('%s', (_directory, manifests) => {
    describe('the Ingress', () => {
      const ingress = named(manifests, 'Ingress', namespace)

      test('there is one Ingress, of class nginx, for one host, without snippets or a default backend', () => {
        expect(all(manifests, 'Ingress')).toHaveLength(1)
        expect(ingress.spec?.ingressClassName).toBe('nginx')
        expect(ingress.spec).not.toHaveProperty('defaultBackend')
        const hosts = ingress.spec?.rules?.map(({ host }) => host)
        expect(hosts).toEqual([expect.stringMatching(/^[a-z.]+$/)])
        for (const { hosts: certified } of ingress.spec?.tls ?? []) expect(certified).toEqual(hosts)
        const annotations = Object.keys((ingress.metadata as { annotations?: Labels }).annotations ?? {})
        expect(annotations.filter((name) => /snippet/.test(name))).toEqual([])
      })

      describe.each(Object.keys(prefixMatchers) as (keyof typeof prefixMatchers)[])(
        'with prefixes matched %s',
        (matcher) => {
          test('every public path leads to pods that host a module for it', () => {
            for (const [path, hosts] of publicPaths) {
              const backend = backendOf(ingress, path, matcher)
              const port = backend?.port?.name ?? backend?.port?.number ?? 0
              const found = targetsOf(manifests, backend?.name ?? '', port)
              expect(found.deployments, path).not.toEqual([])
              for (const deployment of found.deployments) {
                const { hosted, port: listens } = configOf(manifests, deployment)
                expect(
                  hosted.filter((module) => hosts.includes(module)),
                  path,
                ).not.toEqual([])
                expect(new Set(found.ports), path).toEqual(new Set([listens]))
              }
            }
          })

          test('private paths have no backend', () => {
            for (const path of privatePaths) expect(backendOf(ingress, path, matcher), path).toBeUndefined()
          })
        },
      )
    })
  })
}
