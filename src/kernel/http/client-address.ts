import { BlockList, isIP, isIPv6, SocketAddress } from 'node:net'
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { expandIPv6 } from 'hono/utils/ipaddr'
import { elementsOf } from './header-list.ts'

// Addresses of X-Forwarded-For that are looked at: no request comes by so many trusted proxies.
const longestChain = 20

/** Where a request comes from. */
export interface Client {
  /** An IPv4 or IPv6 address. `unknown` where there is no socket. */
  address: string
  /** What one party has of its own, and what is counted therefore: an IPv4 address, or an IPv6 /64. */
  network: string
}

/** The client of a request, as far as the addresses it came by can be believed. */
export type ClientOf = (c: Context) => Client

/**
 * `X-Forwarded-For` is read from its end, where the nearest proxy has written, for as long as who wrote it is trusted:
 * whatever stands before that is what a client claims.
 * @param trustedProxies addresses and CIDR ranges, as `isAddressRange`; without any the header is ignored
 * @param onIgnored hears, once, of an address that sends the header and is not trusted: a client that makes it up, or a
 * proxy that somebody has forgotten
 */
export function createClientOf(
  trustedProxies: readonly string[],
  onIgnored: (peer: string) => void = () => undefined,
): ClientOf {
  let heard = false
  const trusted = new BlockList()
  for (const range of trustedProxies) {
    const [address = '', prefix] = range.split('/')
    trusted.addSubnet(address, Number(prefix ?? (isIPv6(address) ? 128 : 32)), familyOf(address))
  }
  return (c) => {
    const { incoming } = (c.env ?? {}) as Partial<HttpBindings>
    const forwarded = elementsOf(c.req.header('X-Forwarded-For') ?? '').slice(-longestChain)
    let address = plain(incoming?.socket.remoteAddress ?? '')
    if (forwarded.length > 0 && !heard && isIP(address) > 0 && !trusted.check(address, familyOf(address))) {
      heard = true
      onIgnored(address)
    }
    while (isIP(address) > 0 && trusted.check(address, familyOf(address))) {
      const before = plain(forwarded.pop() ?? '')
      if (isIP(before) === 0) break
      address = before
    }
    if (isIP(address) === 0) return { address: 'unknown', network: 'unknown' }
    return { address, network: isIPv6(address) ? networkOf(address) : address }
  }
}

const familyOf = (address: string) => (isIPv6(address) ? 'ipv6' : 'ipv4')

/** Without what some write around an address: a port, brackets, a zone. */
const plain = (written: string): string => {
  const address = written
    .trim()
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/^([\d.]+):\d+$/, '$1')
    .replace(/%.*$/, '')
  return isIPv6(address) ? canonical(address) : address
}

/** IPv6 as RFC 5952 writes it, whoever has written it; IPv4 in IPv6 is IPv4. */
const canonical = (address: string): string =>
  new SocketAddress({ address, family: 'ipv6' }).address.replace(/^::ffff:(?=[\d.]+$)/, '')

const networkOf = (address: string): string => `${expandIPv6(address).split(':').slice(0, 4).join(':')}::/64`
