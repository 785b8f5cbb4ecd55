import { Hono } from 'hono'
import { describe, expect, it } from 'vitest'
import { type Client, createClientOf } from './client-address.ts'

/** The client of a request that came over a socket from `peer`. */
async function clientOf(
  peer: string | undefined,
  forwarded?: string | string[],
  trustedProxies: string[] = [],
): Promise<Client> {
  const app = new Hono()
  const read = createClientOf(trustedProxies)
  app.get('/', (c) => c.json(read(c)))
  const headers = new Headers()
  for (const value of [forwarded ?? []].flat()) headers.append('X-Forwarded-For', value)
  const env = peer === undefined ? undefined : { incoming: { socket: { remoteAddress: peer } } }
  return (await (await app.request('/', { headers }, env)).json()) as Client
}
const addressOf = async (...request: Parameters<typeof clientOf>) => (await clientOf(...request)).address

describe('the client without trusted proxies', () => {
  it('without trusted proxies, the client address is the peer of the socket, even with a header', async () => {
    expect(await addressOf('192.0.2.1', '198.51.100.7')).toBe('192.0.2.1')
    expect(await addressOf('127.0.0.1', '198.51.100.7')).toBe('127.0.0.1')
  })

  it('the client address is an IPv4 address if the socket of both families has a mapped one', async () => {
    expect(await clientOf('::ffff:192.0.2.1')).toEqual({ address: '192.0.2.1', network: '192.0.2.1' })
  })

  it('the client address is unknown without a socket', async () => {
    expect(await clientOf(undefined, '198.51.100.7')).toEqual({ address: 'unknown', network: 'unknown' })
  })
})

describe('an ignored header', () => {
  it('an ignored header is reported once with the address of its sender, unlike the header of a trusted proxy', async () => {
    const ignored: string[] = []
    const app = new Hono()
    const read = createClientOf(['10.0.0.0/8'], (peer) => ignored.push(peer))
    app.get('/', (c) => c.json(read(c)))
    const send = (remoteAddress: string, headers = {}) =>
      app.request('/', { headers }, { incoming: { socket: { remoteAddress } } })
    await send('192.0.2.1')
    await send('10.1.2.3', { 'X-Forwarded-For': '198.51.100.7' })
    expect(ignored).toEqual([])
    await send('192.0.2.1', { 'X-Forwarded-For': '198.51.100.7' })
    await send('192.0.2.2', { 'X-Forwarded-For': '198.51.100.7' })
    expect(ignored).toEqual(['192.0.2.1'])
  })
})

describe('the client behind trusted proxies', () => {
  const trusted = ['10.0.0.0/8', '192.0.2.80', 'fd00::/8']

  it.each<[string, string, string | string[], string]>([
    ['the address from the nearest proxy', '10.1.2.3', '198.51.100.7', '198.51.100.7'],
    [
      'the address from the first of several trusted proxies',
      '10.1.2.3',
      '198.51.100.7, 192.0.2.80, 10.9.9.9',
      '198.51.100.7',
    ],
    [
      'not an address that the client itself has sent',
      '10.1.2.3',
      '203.0.113.9, 198.51.100.7',
      '198.51.100.7',
    ],
    [
      'not a trusted address that the client itself has sent',
      '10.1.2.3',
      '10.0.0.1, 198.51.100.7',
      '198.51.100.7',
    ],
    [
      'the last address of several header fields',
      '10.1.2.3',
      ['203.0.113.9', '198.51.100.7'],
      '198.51.100.7',
    ],
    ['the peer if it is outside the trusted ranges', '192.0.2.81', '198.51.100.7', '192.0.2.81'],
    ['the proxy if there is no header', '10.1.2.3', [], '10.1.2.3'],
    ['the proxy if its entry is not an address', '10.1.2.3', '198.51.100.7, unknown', '10.1.2.3'],
    ['the proxy if all entries are empty', '10.1.2.3', ' ,,', '10.1.2.3'],
    ['the address between empty entries', '10.1.2.3', ',198.51.100.7 , ,', '198.51.100.7'],
    ['the outermost proxy if all are trusted', '10.1.2.3', '10.0.0.7, 10.0.0.8', '10.0.0.7'],
    ['an address without its port', '10.1.2.3', '198.51.100.7:4711', '198.51.100.7'],
    ['an IPv6 address without its brackets', '10.1.2.3', '[2001:db8::7]:4711', '2001:db8::7'],
    ['an IPv6 address without its zone', '10.1.2.3', 'fe80::7%eth0', 'fe80::7'],
    ['an IPv4 address that is mapped to IPv6', '10.1.2.3', '::ffff:198.51.100.7', '198.51.100.7'],
    ['an IPv4 address that is mapped to IPv6 in hex', '10.1.2.3', '::FFFF:c633:6407', '198.51.100.7'],
    [
      'an IPv4 address that is mapped to IPv6 in full',
      '10.1.2.3',
      '0:0:0:0:0:ffff:198.51.100.7',
      '198.51.100.7',
    ],
    ['an IPv6 address in its canonical form', '10.1.2.3', '2001:0DB8:0:0::0007', '2001:db8::7'],
    ['not an IPv4 address with leading zeros', '10.1.2.3', '198.51.100.007', '10.1.2.3'],
    ['the address from an IPv6 proxy', 'fd00::1', '198.51.100.7', '198.51.100.7'],
    ['the address from a proxy that is mapped to IPv6', '::ffff:10.1.2.3', '198.51.100.7', '198.51.100.7'],
  ])('behind trusted proxies, the client address is %s', async (_what, peer, forwarded, address) => {
    expect(await addressOf(peer, forwarded, trusted)).toBe(address)
  })

  it('the client address is the first of the last 20 addresses if more are trusted', async () => {
    const long = `10.0.0.1, ${'10.0.0.2,'.repeat(20)}`
    expect(await addressOf('10.1.2.3', long, trusted)).toBe('10.0.0.2')
  })

  it('the client address is found in the longest possible header', async () => {
    const long = `${'10.0.0.1,'.repeat(1_500)} 198.51.100.7`
    expect(await addressOf('10.1.2.3', long, trusted)).toBe('198.51.100.7')
    expect(await addressOf('10.1.2.3', `${'['.repeat(8_000)}${':1'.repeat(3_000)}`, trusted)).toBe('10.1.2.3')
  })
})

describe('the network of a client', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:0db8:0001:0002::/64'],
    ['2001:db8:1:2::', '2001:0db8:0001:0002::/64'],
    ['2001:DB8:1:2:ffff::1', '2001:0db8:0001:0002::/64'],
    ['2001:db8:1:3::1', '2001:0db8:0001:0003::/64'],
    ['2001:db8:1:2::203.0.113.9', '2001:0db8:0001:0002::/64'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['::1', '0000:0000:0000:0000::/64'],
  ])('the network of the client %s is %s', async (address, network) => {
    expect((await clientOf(address)).network).toBe(network)
  })
})
