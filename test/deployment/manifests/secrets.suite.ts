import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

import {
  all,
  containersOf,
  example,
  generated,
  keysOf,
  renderings,
  root,
  secretReferences,
  workloadsOf,
} from './rendered.ts'

/** Secrets are generated, and no manifest contains one. */
export function secretSuite() {
  describe.each(renderings)('%s', (_directory, manifests) => {
    const workloads = workloadsOf(manifests)

    test('no manifest contains a secret', () => {
      expect(all(manifests, 'Secret')).toEqual([])
      const secretName = /SECRET|PASSWORD|PRIVATE|TOKEN|URI|KEY/
      const variables = workloads.flatMap((workload) => containersOf(workload).flatMap(({ env = [] }) => env))
      const literals = variables.filter(
        ({ name, valueFrom }) => secretName.test(name) && !valueFrom?.secretKeyRef,
      )
      expect(literals).toEqual([])
      const settings = all(manifests, 'ConfigMap').flatMap(({ data }) => Object.keys(data ?? {}))
      expect(settings.filter((name) => secretName.test(name))).toEqual([])
      for (const value of all(manifests, 'ConfigMap').flatMap(({ data }) => Object.values(data ?? {}))) {
        expect(value).not.toMatch(/:\/\/[^/\s$]+:[^/\s$]+@/)
      }
    })

    test('every Secret key that a workload uses is generated', () => {
      const references = workloads.flatMap(secretReferences)
      expect(references).not.toEqual([])
      expect(references.filter((reference) => !keysOf(generated).includes(reference))).toEqual([])
    })
  })
  describe('secrets.example', () => {
    test('secrets.example has the keys that are generated', () => {
      expect(keysOf(example)).toEqual(keysOf(generated))
    })

    test('no value in secrets.example is base64, so that Kubernetes refuses the file as it is', () => {
      for (const data of example.values()) {
        for (const value of Object.values(data)) expect(value).not.toMatch(/^[A-Za-z0-9+/=\s]*$/)
      }
    })

    test('no kustomization contains secrets.example', async () => {
      const files = await readdir(join(root, 'deploy'), { recursive: true })
      for (const file of files.filter((name) => name.endsWith('kustomization.yaml'))) {
        expect(await readFile(join(root, 'deploy', file), 'utf8')).not.toContain('secrets.example')
      }
    })
  })
}
