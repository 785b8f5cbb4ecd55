import { join } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import type { Manifest } from '#test/support/kustomize.ts'

import { all, nameOf, renderingOf, renderings, root } from './rendered.ts'

/** Validates objects with the JSON schemas of Kubernetes, and returns the errors: wrong types, missing fields. */
async function schemaErrors(manifests: readonly Manifest[]): Promise<string[]> {
  const errors: string[] = []
  for (const manifest of manifests) {
    const { apiVersion, kind } = manifest
    const path = ['kubernetes-models', apiVersion, kind].join('/')
    const models = await import(path)
    try {
      new models[kind](manifest).validate()
    } catch (error) {
      errors.push(`${nameOf(manifest)}: ${(error as Error).message}`)
    }
  }
  return errors
}

/** Finds fields that Kubernetes does not know, with its TypeScript types. Its JSON schemas allow them. */
function unknownFields(manifests: readonly Manifest[]): string[] {
  const file = join(root, 'test', 'rendered.ts')
  const lines = manifests.map((manifest) => {
    const { apiVersion, kind } = manifest
    const type = `import('kubernetes-models/${apiVersion}/${kind}').I${kind}`
    return `;(${JSON.stringify(manifest)}) satisfies ${type}`
  })
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ESNext,
    types: [],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  }
  const host = ts.createCompilerHost(options)
  const { getSourceFile } = host
  host.getSourceFile = (name, ...rest) =>
    name === file
      ? ts.createSourceFile(file, lines.join('\n'), ts.ScriptTarget.ESNext)
      : getSourceFile(name, ...rest)
  const program = ts.createProgram([file], options, host)
  return ts.getPreEmitDiagnostics(program).map(({ file: source, start = 0, messageText }) => {
    const line = source?.getLineAndCharacterOfPosition(start).line ?? 0
    const manifest = manifests[line]
    return `${manifest ? nameOf(manifest) : ''}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}

/** Every object is valid for Kubernetes. */
export function schemaSuite() {
  test('the schema checks find a wrong type, a missing field and an unknown field', async () => {
    const [pod] = all(renderingOf('base'), 'Deployment').map((deployment) => structuredClone(deployment))
    if (pod?.spec?.template.spec === undefined) throw new Error('there is no Deployment')
    const wrong = { ...pod, spec: { ...pod.spec, minReadySeconds: '5' } }
    const missing = { ...pod, spec: { ...pod.spec, selector: undefined } }
    const unknown = {
      ...pod,
      spec: { ...pod.spec, template: { spec: { ...pod.spec.template.spec, probes: 3 } } },
    }
    expect(await schemaErrors([wrong])).toEqual([expect.stringContaining('minReadySeconds must be integer')])
    expect(await schemaErrors([missing])).toEqual([
      expect.stringContaining('must have required property selector'),
    ])
    expect(unknownFields([pod, unknown])).toEqual([expect.stringContaining('"probes"')])
  })

  test('every field of every object is known to Kubernetes', () => {
    expect(unknownFields(renderings.flatMap(([, manifests]) => manifests))).toEqual([])
  })

  describe.each(renderings)('%s', (_directory, manifests) => {
    test('every object is valid by the schemas of Kubernetes', async () => {
      expect(await schemaErrors(manifests)).toEqual([])
    })
  })
}
