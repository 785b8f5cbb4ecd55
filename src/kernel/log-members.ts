/** The members that a line of the log may have. docs/observability.md says what each of them means. */
export const logMembers = [
  // Every line.
  'level',
  'time',
  'service',
  'module',
  'msg',
  // A request, and a security event.
  'requestId',
  'traceId',
  'userId',
  'method',
  'route',
  'path',
  'status',
  'code',
  'durationMs',
  'event',
  'address',
  'action',
  'role',
  'by',
  // A failure.
  'err',
  'count',
  'reason',
  'target',
  'end',
  'retryInMs',
  'timeoutMs',
  'linesLost',
  // The process, its settings and its jobs.
  'hosted',
  'port',
  'managementPort',
  'pid',
  'peer',
  'variable',
  'meant',
  'username',
  'connections',
  'descriptors',
  'job',
  'done',
  // MongoDB.
  'database',
  'collection',
  'index',
  'keys',
  'ids',
  'migration',
  'transactions',
  'transactionLifetimeLimitSeconds',
] as const

export type LogMember = (typeof logMembers)[number]

type Plain = string | number | boolean | undefined

/** The members of a line. `err` may be any thrown value, of which the log shows the type, the message, the code and the stack. */
export type LogMembers = {
  readonly [Member in Exclude<LogMember, 'err'>]?: Plain | readonly Plain[] | Readonly<Record<string, Plain>>
} & { readonly err?: unknown }

const allowed: ReadonlySet<string> = new Set(logMembers)

/** Leaves out the members that are not in the list, because they may contain what must not be logged, such as a password. */
export function onlyAllowed(members: Record<string, unknown>): Record<string, unknown> {
  for (const name in members) if (!allowed.has(name)) return withoutOthers(members)
  return members
}

const withoutOthers = (members: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(members).filter(([name]) => allowed.has(name)))
