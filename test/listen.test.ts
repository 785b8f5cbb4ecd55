import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type Listener, listen } from '../src/listen.ts'

let listener: Listener
afterEach(() => listener.close(0))

const open = async (answer: () => Response | Promise<Response>) => {
  listener = await listen(answer, { port: 0, host: '127.0.0.1' })
}

/** The answer's Connection header, over connections that are kept. */
const agent = new Agent({ keepAlive: true })
const ask = (): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    const sent = request({ port: listener.port, host: '127.0.0.1', agent }, (response) => {
      response.resume()
      response.once('end', () => resolve(response.headers.connection))
    })
    sent.once('error', reject)
    sent.end()
  })

describe('draining', () => {
  it('asks clients to close their connections, those that wait for an answer too', async () => {
    let answer = () => {}
    let arrived = () => {}
    const inFlight = new Promise<void>((resolve) => {
      arrived = resolve
    })
    let slow = false
    await open(async () => {
      if (slow) {
        arrived()
        await new Promise<void>((resolve) => {
          answer = resolve
        })
      }
      return new Response('fine')
    })
    expect(await ask()).toBe('keep-alive')
    slow = true
    const waiting = ask()
    await inFlight
    listener.drain()
    answer()
    expect(await waiting).toBe('close')
    slow = false
    expect(await ask()).toBe('close')
  })

  it('does not wait for clients that never finish asking', async () => {
    await open(() => new Response('fine'))
    const socket = connect(listener.port, '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.write('POST /login HTTP/1.1\r\nHost')
    const gone = new Promise((resolve) => socket.once('close', resolve))
    socket.on('error', () => {})
    await listener.close(200)
    await gone
  })
})

it('outlives clients that ask for a tunnel and are gone before they are refused', async () => {
  await open(() => new Response('fine'))
  const askAndGo = () =>
    new Promise((resolve) => {
      const socket = connect(listener.port, '127.0.0.1', () => {
        socket.write('CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', () => socket.resetAndDestroy())
      })
      socket.on('error', () => {})
      socket.once('close', resolve)
    })
  for (let n = 0; n < 200; n++) await askAndGo()
  expect(await ask()).toBe('keep-alive')
})
