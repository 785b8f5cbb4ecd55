import { describe, expect, test } from 'vitest'
import type { Manifest } from '#test/support/kustomize.ts'

import { all, labelsOf, named, nameOf, renderingOf, selects } from './rendered.ts'

/** Overlays of both shapes can run side by side while one replaces the other. */
export function shapeSwitchSuite() {
  describe.each([
    ['production', 'monolith'],
    ['local', 'local-monolith'],
  ])('the overlays %s and %s', (split, one) => {
    const services = renderingOf(`overlays/${split}`)
    const monolith = renderingOf(`overlays/${one}`)
    const both = new Map(services.map((manifest) => [nameOf(manifest), manifest]))

    test('both overlays differ in one shared object, the Ingress, which has a label of its own', () => {
      const different = monolith.filter((manifest) => {
        const other = both.get(nameOf(manifest))
        return other !== undefined && JSON.stringify(other) !== JSON.stringify(manifest)
      })
      expect(different.map(nameOf)).toEqual(['Ingress trivet'])
      const host = (manifests: readonly Manifest[]) =>
        named(manifests, 'Ingress', 'trivet').spec?.rules?.[0]?.host
      expect(host(services)).toBe(host(monolith))
      for (const manifests of [services, monolith]) {
        const labelled = manifests.filter(
          ({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'ingress',
        )
        expect(labelled.map(nameOf)).toEqual(['Ingress trivet'])
      }
    })

    test('a label selects only the objects of the monolith', () => {
      const own = monolith.filter((manifest) => !both.has(nameOf(manifest)) && manifest.kind !== 'ConfigMap')
      expect(own.map(({ kind }) => kind).sort()).toEqual([
        'Deployment',
        'HorizontalPodAutoscaler',
        'PodDisruptionBudget',
        'Service',
        'ServiceAccount',
      ])
      for (const { metadata } of own)
        expect(metadata.labels).toMatchObject({ 'app.kubernetes.io/name': 'monolith' })
      const labelled = services.filter(
        ({ metadata }) => metadata.labels?.['app.kubernetes.io/name'] === 'monolith',
      )
      expect(labelled).toEqual([])
    })

    test('no selector selects pods of the other overlay, except the Service trivet', () => {
      for (const [own, others] of [
        [services, monolith],
        [monolith, services],
      ] as const) {
        const pods = all(others, 'Deployment').map(labelsOf)
        const selectors = [
          ...all(own, 'Deployment').map((object) => ({
            object,
            selector: object.spec?.selector.matchLabels,
          })),
          ...all(own, 'PodDisruptionBudget').map((object) => ({
            object,
            selector: object.spec?.selector?.matchLabels,
          })),
          ...all(own, 'Service').map((object) => ({ object, selector: object.spec?.selector })),
        ]
        const crossing = selectors.filter(({ selector }) => pods.some((labels) => selects(selector, labels)))
        // The Service trivet sends to pods of either shape.
        expect(crossing.map(({ object }) => nameOf(object))).toEqual(
          own === services ? ['Service trivet'] : [],
        )
      }
    })
  })
}
