import { createCall } from '#kernel/call.ts'
import { type Command, Refusal } from '#kernel/command.ts'
import { type Config, loadConfig, misnamedSettingWarning } from '#kernel/config/load-config.ts'
import { isDomainError } from '#kernel/errors.ts'
import { createLogger, type Logger } from '#kernel/logger.ts'
import { nearestName } from '#kernel/nearest-name.ts'
import { compose } from '../host/compose.ts'
import { openComposition } from '../host/open-composition.ts'
import { registry } from '../registry.ts'
import { quoted, readCommandLine, UsageError } from './command-line.ts'
import { print } from './print.ts'
import { Canceled, readSecret } from './terminal.ts'

const connectTimeoutMs = 5_000
// The shop may be starting at the same moment, and be at it.
const migrateTimeoutMs = 60_000
const answerTimeoutMs = 30_000

/** Exit codes: 0 done, 1 refused, 2 not understood or not possible now, 130 given up at the prompt (Ctrl-C). */
async function main(): Promise<number> {
  const config = loadConfig(process.env, registry)
  for (const misnamed of config.misnamedSettings) console.error(misnamedSettingWarning(misnamed))
  // What is done goes into the audit trail; standard output is for the answer.
  const logger = await createLogger({
    level: config.logLevel,
    human: !config.production && process.stderr.isTTY === true,
    service: 'admin',
    output: process.stderr.fd,
  })
  const described = await commandsOf(config, logger)
  const asked = request(described)
  if (asked === 'help') {
    await print(usage(described))
    return 0
  }
  if (asked instanceof UsageError) {
    console.error(`${asked.message}\n\n${usage(described)}`)
    return 2
  }
  const { name, args, json } = asked
  const composition = await openComposition(registry, config, logger, (line) => console.error(line))
  try {
    await composition.connect(AbortSignal.timeout(connectTimeoutMs))
    await composition.migrate(AbortSignal.timeout(migrateTimeoutMs))
    const carriedOut = composition.commands.find((candidate) => candidate.name === name)
    const requestId = crypto.randomUUID()
    const answer = await carriedOut?.run(args, readSecret, () => createCall(answerTimeoutMs, requestId))
    await print(String(json ? JSON.stringify(answer?.json) : answer?.text))
    return 0
  } finally {
    await composition.close()
  }
}

interface Request {
  name: string
  args: readonly string[]
  json: boolean
}

/** What the command line asks for. No argument after the command's name is repeated: it may be a password. */
function request(commands: readonly Command[]): Request | 'help' | UsageError {
  try {
    const { isSet, positionals } = readCommandLine(['json'], { mayBeSecret: true })
    if (isSet('help')) return 'help'
    const [name, ...args] = positionals
    const command = commands.find((candidate) => candidate.name === name)
    if (name === undefined) throw new UsageError('the command is missing')
    if (command === undefined) throw new UsageError(unknownCommand(name, commands))
    const { parameters } = command
    const missing = parameters.slice(args.length).map((parameter) => `<${parameter}>`)
    if (missing.length > 0) throw new UsageError(`${name}: missing ${missing.join(' and ')}`)
    const surplus = args.length - parameters.length
    if (surplus > 0) {
      throw new UsageError(`${name}: ${surplus} ${surplus === 1 ? 'argument' : 'arguments'} too many`)
    }
    return { name, args, json: isSet('json') }
  } catch (error) {
    if (error instanceof UsageError) return error
    throw error
  }
}

function unknownCommand(name: string, commands: readonly Command[]): string {
  const meant = nearestName(
    name,
    commands.map((command) => command.name),
  )
  const question = meant === undefined ? '' : `; did you mean ${meant}?`
  return `there is no command ${quoted(name)}${question}`
}

/** What there is, of modules that are connected to nothing: a usage needs no database. */
async function commandsOf(config: Config, logger: Logger): Promise<readonly Command[]> {
  const mongodb = { ...config.mongodb, uri: config.mongodb.uri ?? 'mongodb://localhost' }
  const { commands } = await compose({ config: { ...config, mongodb }, modules: registry, logger })
  if (commands.length === 0) throw new Error('SERVICE: no module that is hosted here has such commands')
  return commands
}

const usage = (commands: readonly Command[]): string => {
  const synopses = commands.map(({ name, parameters }) =>
    [name, ...parameters.map((parameter) => `<${parameter}>`)].join(' '),
  )
  const width = Math.max(...synopses.map((synopsis) => synopsis.length))
  return [
    'npm run admin -- <command> [--json]',
    '',
    ...commands.map(({ summary }, at) => `  ${synopses[at]?.padEnd(width)}  ${summary}`),
    '',
    'In the shop that the settings name (the same environment variables as the program), also while it runs. A password is',
    'asked for, or is the first line of standard input; never an argument, which others can see. Ends with 0 when it is',
    'done, 1 if it was refused, 2 if it could not be tried. With --json it prints JSON (use npm run --silent).',
  ].join('\n')
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    const refused =
      error instanceof Refusal ||
      (isDomainError(error) && !isDomainError(error, 'dependency_unavailable', 'overloaded'))
    process.exit(error instanceof Canceled ? 130 : refused ? 1 : 2)
  },
)
