import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { IStatefulSet } from 'kubernetes-models/apps/v1/StatefulSet'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type Manifest, render } from '#test/support/kustomize.ts'
import { docker, noDocker } from './docker.ts'

if (noDocker) console.log(`skipped: ${noDocker}`)

const network = `trivet-test-${randomUUID().slice(0, 8)}`
const [earlierPod, pod] = ['10.87.249.10', '10.87.249.11']
const manifests = fileURLToPath(new URL('../../../deploy/mongodb', import.meta.url))

describe.skipIf(noDocker)('the init container own-name of a MongoDB pod', () => {
  let image = ''
  let command: string[] = []
  beforeAll(async () => {
    await docker(['network', 'create', '--subnet', '10.87.249.0/24', network])
    const rendered = await render(manifests)
    const statefulSet = rendered.find(({ kind }) => kind === 'StatefulSet') as Manifest & IStatefulSet
    const containers = statefulSet.spec?.template.spec?.initContainers ?? []
    const found = containers.find(({ name }) => name === 'own-name')
    image = found?.image ?? ''
    command = found?.command ?? []
  })
  afterAll(() => docker(['network', 'rm', network]))

  /** Starts a container in the network. The container is removed when the test ends. */
  const start = async (options: string[], arguments_: string[]) => {
    const [program = '', ...others] = arguments_
    const id = await docker([
      ...['run', '--detach', '--network', network, ...options],
      ...['--entrypoint', program, image, ...others],
    ])
    onTestFinished(async () => void (await docker(['rm', '--force', id])))
    return id
  }
  const waitingPod = (script = command) =>
    start(['--hostname', 'mongodb-0', '--env', `POD_IP=${pod}`], script)
  const published = (address: string) =>
    start(['--ip', address, '--network-alias', 'mongodb-0.mongodb'], ['sleep', '600'])
  const stateOf = (id: string) => docker(['inspect', '--format', '{{.State.Status}} {{.State.ExitCode}}', id])

  it('the init container waits until the host name has the address of this pod, not of an earlier pod', async () => {
    const stale = await published(earlierPod)
    const waiting = await waitingPod()
    const asks = ['exec', waiting, 'getent', 'ahosts', 'mongodb-0.mongodb']
    expect(await docker(asks)).toContain(earlierPod)
    expect(await stateOf(waiting)).toBe('running 0')
    await docker(['rm', '--force', stale])
    expect(await stateOf(waiting)).toBe('running 0')
    await published(pod)
    await vi.waitFor(async () => expect(await stateOf(waiting)).toBe('exited 0'), {
      timeout: 30_000,
      interval: 200,
    })
  })

  it('the init container fails after a bounded time, and names the host name and the expected address', async () => {
    const sooner = command.map((part) => part.replaceAll('120', '2'))
    expect(sooner).not.toEqual(command)
    const waiting = await waitingPod(sooner)
    expect(await docker(['wait', waiting])).toBe('1')
    await expect(docker(['start', '--attach', waiting])).rejects.toThrow(
      /mongodb-0\.mongodb has not become 10\.87\.249\.11 within 2 s/,
    )
  })
})
