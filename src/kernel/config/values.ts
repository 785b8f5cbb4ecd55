import { isIP, isIPv6 } from 'node:net'
import { z } from '@hono/zod-openapi'
import { originFault } from './origins.ts'

/** The formats of settings. Each schema turns the text of a variable into a typed value. */

const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A number with `ms`, `s`, `m`, `h` or `d`, in milliseconds: `15m` becomes 900000. */
export const duration = z
  .string()
  .regex(/^\d{1,9}(ms|s|m|h|d)$/, 'must be a number with ms, s, m, h or d, such as 15m')
  .transform(
    (value) => Number.parseInt(value, 10) * unitsMs[value.replace(/^\d+/, '') as keyof typeof unitsMs],
  )

/** A duration that a request or a shutdown waits for: at most 1 h. A timer of Node.js can wait for at most 24 days. */
export const waitDuration = duration.pipe(z.int().max(3_600_000, 'must be 1h or less'))

/** At most `max` events within `withinMs`. */
export interface Rate {
  max: number
  withinMs: number
}

const maxPeriodMs = 365 * unitsMs.d

/** A number of events and a duration: `10/15m` is ten events in fifteen minutes. */
export const rate = z
  .string()
  .regex(/^[1-9]\d{0,8}\/[1-9]\d{0,8}(ms|s|m|h|d)$/, 'must be a number and a duration, such as 10/15m')
  .transform((value): Rate => {
    const [max, within] = value.split('/') as [string, string]
    return { max: Number(max), withinMs: duration.parse(within) }
  })
  .refine(({ withinMs }) => withinMs <= maxPeriodMs, 'must be within 365d or less')

export const flag = z
  .enum(['true', 'false'], { error: 'must be true or false' })
  .transform((value) => value === 'true')

/**
 * The codes of ISO 4217 whose minor unit is not a hundredth, or that have none. `Intl` does not know them: its decimal places follow
 * the use in shops, so that the Indonesian rupiah has none there, although ISO 4217 gives it two.
 */
const withoutHundredths = new Set(
  (
    'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF BHD IQD JOD KWD LYD OMR TND CLF UYW ' +
    'XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX'
  ).split(' '),
)

/** The code of a currency (ISO 4217) that Node.js knows. Amounts are integers in hundredths of it. */
export const currencyCode = z
  .string()
  .refine((value) => Intl.supportedValuesOf('currency').includes(value), {
    message: 'must be the code of a currency (ISO 4217), such as EUR',
    abort: true,
  })
  .refine(
    (value) => !withoutHundredths.has(value),
    'must be a currency with two decimal places, such as EUR, because all amounts have two',
  )

export const integer = (min: number, max: number) =>
  z
    .string()
    .refine(
      (value) => /^\d+$/.test(value) && Number(value) >= min && Number(value) <= max,
      `must be an integer from ${min} to ${max}`,
    )
    .transform(Number)
export const list = z.string().transform((value) =>
  value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== ''),
)
export const httpUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .refine((value) => !/[?#@]/.test(value), 'must be a base URL: no query, fragment or credentials')

/** An address or host name that a server can listen on. An IPv6 address may be in brackets, as in a URL. */
export const listenAddress = z
  .string()
  .transform((value) => value.trim().replace(/^\[(.*)\]$/, '$1'))
  .refine(
    (value) => isIP(value) !== 0 || /^[^\s:/?#@*,[\]]+$/.test(value),
    'must be an address or a name of this machine, without a scheme and a port, such as 127.0.0.1; 0.0.0.0 means all addresses',
  )

export const origins = list.superRefine((entries, context) => {
  for (const entry of entries) {
    const fault = originFault(entry)
    if (fault !== undefined) context.addIssue(fault)
  }
})

/** Whether a text is an IPv4 or IPv6 address, alone or with a prefix length (CIDR, RFC 4632). */
export function isAddressRange(value: string): boolean {
  const [address = '', prefix, ...more] = value.split('/')
  const maxPrefix = isIPv6(address) ? 128 : 32
  const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= maxPrefix)
  return isIP(address) > 0 && isPrefix && more.length === 0
}
