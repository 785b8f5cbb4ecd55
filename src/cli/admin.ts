// `npm run admin`: the operators' commands of the modules.
// Exit status: 0 done, 1 refused, 2 wrong usage or not possible now, 130 cancelled at the prompt.
import { createCall } from '#kernel/call.ts'
import { type CommandResult, Refusal } from '#kernel/command.ts'
import { loadConfig, misnamedSettingWarning } from '#kernel/config/load-config.ts'
import { isDomainError } from '#kernel/errors.ts'
import { createLogger } from '#kernel/logger.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { openComposition } from '../host/open-composition.ts'
import { textTable } from '../host/text-table.ts'
import { registry } from '../registry.ts'
import { type AdminRequest, adminUsage, readAdminRequest } from './admin-request.ts'
import { UsageError } from './command-line.ts'
import { printResult } from './print-result.ts'
import { Cancelled, readSecret } from './terminal.ts'

const connectTimeoutMs = 5_000
// Another process that is starting may hold the migration lease for a while.
const migrateTimeoutMs = 60_000
const callTimeoutMs = 30_000

async function main(): Promise<void> {
  const request = readAdminRequest(registry, process.argv.slice(2))
  if (request === 'help') console.log(adminUsage(registry))
  else await executeRequest(request)
}

async function executeRequest({ module, command, args, json }: AdminRequest): Promise<void> {
  const config = loadConfig(process.env, registry)
  for (const misnamed of config.misnamedSettings) console.error(misnamedSettingWarning(misnamed))
  if (!config.hosted.includes(module))
    throw new Error(`SERVICE must include ${module}, the module of the command ${command}`)
  // Standard output is for the result. The log of security events goes to standard error.
  const logger = await createLogger({
    level: config.logLevel,
    human: !config.production && process.stderr.isTTY === true,
    service: 'admin',
    output: process.stderr.fd,
  })
  const composition = await openComposition(
    { modules: registry, config, logger, metrics: createMetrics() },
    (line) => console.error(line),
  )
  try {
    await composition.connect(AbortSignal.timeout(connectTimeoutMs))
    await composition.migrate(AbortSignal.timeout(migrateTimeoutMs))
    const requestId = crypto.randomUUID()
    const result = await composition.runCommand(command, {
      args,
      readSecret,
      createCall: () => createCall(callTimeoutMs, requestId),
    })
    printResult(json ? JSON.stringify(result.json) : textOf(result))
  } finally {
    await composition.close()
  }
}

const textOf = ({ table = [], text }: CommandResult): string =>
  [...textTable(table), ...(text === undefined ? [] : [text])].join('\n')

function exitCodeOf(error: unknown): number {
  if (error instanceof Cancelled) return 130
  const isUnavailable = isDomainError(error, 'dependency_unavailable', 'overloaded')
  return error instanceof Refusal || (isDomainError(error) && !isUnavailable) ? 1 : 2
}

// With `exitCode`, Node.js ends when all output is written. `process.exit` would lose what a slow pipe has not accepted
// yet.
await main().catch((error: unknown) => {
  const message = error instanceof Error ? error.message : error
  console.error(error instanceof UsageError ? `${message}\n\n${adminUsage(registry)}` : message)
  process.exitCode = exitCodeOf(error)
})
