import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { freePort } from '#src/embedded/free-port.ts'
import { sendOnce, sendUntilFinal } from '#test/faults/outcomes.ts'
import { type Client, createClient } from '#test/support/client.ts'
import { runProgram } from '#test/support/run-program.ts'
import { docker, noDocker } from './docker.ts'
import { startVisitors } from './load.ts'

if (noDocker) console.log(`skipped: ${noDocker}`)

const project = `trivet-test-${randomUUID().slice(0, 8)}`
const healthyWithin = 120_000
let environment: Record<string, string>
let client: Client

const compose = (shape: string, ...args: string[]) => {
  const profile = shape === 'split' ? ['--profile', 'split'] : []
  return docker(['compose', '--project-name', project, ...profile, ...args], environment)
}

describe.skipIf(noDocker)('the containers of the compose file', () => {
  beforeAll(async () => {
    // The network and port differ from the defaults, with which another project of this compose file may be running.
    environment = { PORT: String(await freePort()), EDGE_NETWORK: '10.87.252' }
    client = createClient((path, init) =>
      fetch(`http://127.0.0.1:${environment.PORT}${path}`, { ...init, signal: AbortSignal.timeout(10_000) }),
    )
  })
  afterAll(async () => {
    await compose('split', 'down', '--volumes', '--timeout', '20')
  })

  const shapes = [
    { shape: 'one process', named: [], member: 'trivet', containers: ['trivet', 'mongodb'] },
    {
      shape: 'split',
      named: ['auth', 'product', 'order', 'nginx'],
      member: 'auth',
      containers: ['nginx', 'auth', 'product', 'order', 'mongodb'],
    },
  ]
  let order: { orderId: string; token: string } | undefined

  const asAdmin = async (shape: string, member: string): Promise<string> => {
    const password = await compose(shape, 'exec', '-T', member, 'cat', '/run/secrets/trivet/ADMIN_PASSWORD')
    const body = { username: 'admin', password }
    return (await sendUntilFinal(() => client.post('/login', { body }), healthyWithin)).body.accessToken
  }

  /** Creates a product, and orders two units of it. */
  const trade = async (shape: string, member: string) => {
    const adminToken = await asAdmin(shape, member)
    const { productId } = await client.product(adminToken)
    const { token } = await client.customer()
    const lines = [{ productId, quantity: 2 }]
    const place = () => client.order(token, lines, { 'Idempotency-Key': 'one' })
    const { status, body } = await sendUntilFinal(place, 30_000)
    expect({ status, left: (await client.get(`/products/${productId}`)).body.stock }).toEqual({
      status: 201,
      left: 8,
    })
    return { orderId: body.orderId as string, token }
  }

  const healthy = async (shape: string) => {
    await vi.waitFor(
      async () => {
        const states = await compose(shape, 'ps', '--format', '{{.Service}} {{.Health}}')
        expect(states.split('\n').filter((line) => !line.endsWith(' healthy'))).toEqual([])
      },
      { timeout: healthyWithin, interval: 500 },
    )
  }

  describe.each(shapes)('in the shape $shape', ({ shape, named, member, containers }) => {
    beforeAll(async () => {
      await compose(shape, 'up', '--detach', '--build', '--wait', ...named)
    })
    afterAll(() => compose(shape, 'down', '--timeout', '20'))

    it('the shop sells, and still has the order that was placed in the previous shape', async () => {
      if (order) {
        const { status } = await client.get(`/orders/${order.orderId}`, { token: order.token })
        expect(status).toBe(200)
      }
      order = await trade(shape, member)
      expect(await client.get('/internal/product/reserve')).toMatchObject({ status: 404 })
    })

    it('the shop is healthy and has its data after the restart of any container', async () => {
      const known = order ?? { orderId: '', token: '' }
      for (const container of containers) {
        await compose(shape, 'restart', '--timeout', '20', container)
        await healthy(shape)
        const read = () => client.get(`/orders/${known.orderId}`, { token: known.token })
        const { body } = await sendUntilFinal(read, healthyWithin)
        expect(body).toMatchObject({ orderId: known.orderId, status: 'confirmed' })
      }
      await trade(shape, member)
    })

    it('a container restarts after its process crashes', async () => {
      const id =
        (await compose(shape, 'ps', '--quiet', shape === 'split' ? 'order' : member)).split('\n')[0] ?? ''
      const pid = await docker(['inspect', id, '--format', '{{.State.Pid}}'])
      // The process is killed from the host, because Docker does not restart a container that `docker kill` ended.
      execFileSync('kill', ['-9', pid])
      await healthy(shape)
      await trade(shape, member)
    })

    /** The options of `docker compose` for commands without the name of a service. */
    const options = ['--project-name', project, ...(shape === 'split' ? ['--profile', 'split'] : [])]
    const updated = named.filter((name) => name !== 'nginx')
    /** The start time of each container of MongoDB and NGINX. */
    const startsOfOthers = async () => {
      const others = containers.filter((name) => ['mongodb', 'nginx'].includes(name))
      const ids = await compose(shape, 'ps', '--quiet', ...others)
      return docker(['inspect', '--format', '{{.Name}} {{.State.StartedAt}}', ...ids.split('\n').sort()])
    }
    /** The revision in the image of each container of the program. */
    const revisions = async () => {
      const hosts = shape === 'split' ? ['auth', 'product', 'order'] : ['trivet']
      const ids = await compose(shape, 'ps', '--quiet', ...hosts)
      const format = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
      return (await docker(['inspect', '--format', format, ...ids.split('\n')])).split('\n')
    }
    /**
     * Sends requests during `work`.
     * @returns the requests with an unexpected answer, and those of them whose process ended before it answered
     */
    const visitDuring = async (what: string, work: () => Promise<unknown>) => {
      const adminToken = await asAdmin(shape, member)
      const register = () => vi.waitFor(() => client.customer(), { timeout: healthyWithin, interval: 1_000 })
      const visitors = startVisitors({ ...client, adminToken }, [await register(), await register()], 1)
      await work()
      await visitors.stop()
      const { visits } = visitors
      const failed = visits.filter(({ complaint }) => complaint !== undefined)
      const lost = failed.filter(
        ({ status, complaint = '' }) => status === 0 || /cannot be reached/.test(complaint),
      )
      console.log(
        `${what} (${shape}): ${visits.length} requests, ${failed.length} failed, ${lost.length} lost`,
      )
      expect(visits.length).toBeGreaterThan(100)
      return { failed, lost }
    }

    it('a rolling update restarts neither MongoDB nor NGINX, and loses no request if there are replicas', async () => {
      const before = await startsOfOthers()
      const update = () =>
        runProgram('deploy/rolling-update.sh', options, {
          ...environment,
          REVISION: `rolling-${member}`,
        })
      const { lost } = await visitDuring('a rolling update', update)
      expect(await startsOfOthers()).toBe(before)
      expect(await revisions()).toEqual(Array(shape === 'split' ? 6 : 1).fill(`rolling-${member}`))
      await healthy(shape)
      // A single process cannot be replaced without an interruption, because both containers need the same port.
      if (shape === 'split') expect(lost).toEqual([])
    })

    it('an update with docker compose up restarts neither MongoDB nor NGINX', async () => {
      const before = await startsOfOthers()
      const build = { ...environment, REVISION: `at-once-${member}` }
      const up = ['--project-name', project, 'up', '--build', '--detach', '--wait', ...updated]
      await visitDuring('a new version at once', () => docker(['compose', ...up], build))
      expect(await startsOfOthers()).toBe(before)
      expect(await revisions()).toEqual(Array(shape === 'split' ? 6 : 1).fill(`at-once-${member}`))
      await trade(shape, member)
    })

    it('a rolling update removes a new replica that does not become healthy, and keeps the old replicas', async () => {
      if (shape !== 'split') return
      const known = await compose(shape, 'ps', '--all', '--quiet')
      const update = runProgram('deploy/rolling-update.sh', options, {
        ...environment,
        // With this value the program ends at each start.
        LOG_LEVEL: 'none-such',
        HEALTHY_WITHIN_SECONDS: '20',
      })
      await expect(update).rejects.toThrow(
        /LOG_LEVEL[\s\S]*the new replica of auth was not healthy within 20 s/,
      )
      expect((await compose(shape, 'ps', '--all', '--quiet')).split('\n').sort()).toEqual(
        known.split('\n').sort(),
      )
      await trade(shape, member)
    })

    it('MongoDB requires authentication, and each service reads only its own database and secrets', async () => {
      const bare = [
        'exec',
        '-T',
        'mongodb',
        'mongosh',
        '--quiet',
        'trivet_order',
        '--eval',
        'db.orders.findOne()',
      ]
      await expect(compose(shape, ...bare)).rejects.toThrow(/requires authentication/)
      if (shape !== 'split') return
      const uri = await compose(shape, 'exec', '-T', 'product', 'cat', '/run/secrets/trivet/MONGODB_URI')
      const foreign = ['exec', '-T', 'mongodb', 'mongosh', uri, '--quiet', '--eval']
      await expect(
        compose(shape, ...foreign, 'db.getSiblingDB("trivet_order").orders.findOne()'),
      ).rejects.toThrow(/not authorized/)
      const files = await compose(shape, 'exec', '-T', 'product', 'ls', '/run/secrets/trivet')
      expect(files.split('\n').sort()).toEqual(['INTERNAL_SECRET', 'MONGODB_URI'])
    })

    it('every container ends with exit code 0 when the shop is stopped', async () => {
      await compose(shape, 'stop', '--timeout', '20')
      const own = await compose(shape, 'ps', '--all', '--format', '{{.Service}} {{.ExitCode}}')
      expect(own.split('\n').filter((line) => !line.endsWith(' 0'))).toEqual([])
      expect((await sendOnce(() => client.get('/healthz'))).status).toBe(0)
    })
  })
})
