import { BlockList, isIP, isIPv6, SocketAddress } from 'node:net'
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { expandIPv6 } from 'hono/utils/ipaddr'
import { elementsOf } from './header-list.ts'

// The number of addresses of X-Forwarded-For that are examined. No request passes through so many trusted proxies.
const maxForwardedAddresses = 20

export interface Client {
  /** An IPv4 or IPv6 address, or `unknown` if the request has no socket. */
  address: string
  /**
   * The smallest network that usually belongs to one customer: an IPv4 address, or an IPv6 /64. Throttling counts by
   * it.
   */
  network: string
}

export type ClientOf = (c: Context) => Client

/**
 * Reads `X-Forwarded-For` from its end, because each proxy appends the address that it received the request from.
 * Reading stops at the first address that is not a trusted proxy: the client may have made up everything before it.
 * @param trustedProxies addresses and CIDR ranges, as `isAddressRange`. The header is ignored if there are none
 * @param onIgnored is called once, with the first address that sends the header and is not trusted. It is either a
 * client that forges the header, or a proxy that is missing in `trustedProxies`
 */
export function createClientOf(
  trustedProxies: readonly string[],
  onIgnored: (peer: string) => void = () => undefined,
): ClientOf {
  let isReported = false
  const isTrusted = createRangeCheck(trustedProxies)

  return (c) => {
    const { incoming } = (c.env ?? {}) as Partial<HttpBindings>
    const forwarded = elementsOf(c.req.header('X-Forwarded-For') ?? '').slice(-maxForwardedAddresses)
    let address = normalize(incoming?.socket.remoteAddress ?? '')
    if (forwarded.length > 0 && !isReported && isIP(address) > 0 && !isTrusted(address)) {
      isReported = true
      onIgnored(address)
    }
    while (isIP(address) > 0 && isTrusted(address)) {
      const sender = normalize(forwarded.pop() ?? '')
      if (isIP(sender) === 0) break
      address = sender
    }
    if (isIP(address) === 0) return { address: 'unknown', network: 'unknown' }
    return { address, network: isIPv6(address) ? networkOf(address) : address }
  }
}

/** Returns a function that says whether the address of a socket is that of a trusted proxy. */
export function createProxyCheck(trustedProxies: readonly string[]): (address: string) => boolean {
  const isTrusted = createRangeCheck(trustedProxies)
  return (written) => {
    const address = normalize(written)
    return isIP(address) > 0 && isTrusted(address)
  }
}

function createRangeCheck(ranges: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', prefix] = range.split('/')
    list.addSubnet(address, Number(prefix ?? (isIPv6(address) ? 128 : 32)), familyOf(address))
  }
  return (address) => list.check(address, familyOf(address))
}

const familyOf = (address: string) => (isIPv6(address) ? 'ipv6' : 'ipv4')

/** Removes the port, the brackets and the zone that some proxies add to an address, and writes IPv6 in one way. */
const normalize = (written: string): string => {
  const address = written
    .trim()
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/^([\d.]+):\d+$/, '$1')
    .replace(/%.*$/, '')
  return isIPv6(address) ? canonical(address) : address
}

/** Writes an IPv6 address as RFC 5952 does, and an IPv4 address that is mapped to IPv6 as IPv4. */
const canonical = (address: string): string =>
  new SocketAddress({ address, family: 'ipv6' }).address.replace(/^::ffff:(?=[\d.]+$)/, '')

const networkOf = (address: string): string => `${expandIPv6(address).split(':').slice(0, 4).join(':')}::/64`
