import { expect, it } from 'vitest'
import { registry } from '#src/registry.ts'
import { adminUsage, readAdminRequest } from './admin-request.ts'
import { UsageError } from './command-line.ts'

function messageOf(args: readonly string[]): string {
  try {
    readAdminRequest(registry, args)
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError)
    return (error as UsageError).message
  }
  throw new Error('the arguments were accepted')
}

it.each<[string[], string]>([
  [[], 'the command is missing'],
  [['dance'], 'there is no command "dance"'],
  [['creat', 'a', 'a@example.com'], 'there is no command "creat"; did you mean create?'],
  [['resetpassword', 'a'], 'there is no command "resetpassword"; did you mean reset-password?'],
  [['\u001b[31mred'], 'there is no command "\\u001b[31mred"'],
  [['promote'], 'promote: missing <username or e-mail>'],
  [['create'], 'create: missing <username> and <e-mail>'],
  [['create', 'a'], 'create: missing <e-mail>'],
  [['create', 'a', 'a@example.com', 'b'], 'create: 1 argument too many'],
  [['list', 'a', 'b'], 'list: 2 arguments too many'],
  [['list', '--frob'], 'argument 2 is not an option: the options are --json, --help'],
  [['--jsn', 'list'], 'argument 1 is not an option (did you mean --json?)'],
  [['list', '--json=yes'], '--json takes no value'],
])('the arguments %j of npm run admin are refused, and the message names the fault', (args, fault) => {
  expect(messageOf(args)).toContain(fault)
})

it.each(['a-secret-on-the-line', '--a-secret-on-the-line'])(
  'a password as an argument (%s) is refused, and the message does not repeat it',
  (argument) => {
    expect(messageOf(['create', 'newcomer', 'new@example.com', argument])).not.toContain('secret')
  },
)

it('the usage lists every command', () => {
  for (const { commands = [] } of registry)
    for (const { name } of commands) expect(adminUsage(registry)).toContain(`  ${name} `)
})

it('the arguments of a command and its options may come in any order', () => {
  const request = { module: 'auth', command: 'promote', args: ['ada'], json: true }
  expect(readAdminRequest(registry, ['--json', 'promote', 'ada'])).toEqual(request)
  expect(readAdminRequest(registry, ['promote', 'ada', '--json'])).toEqual(request)
  expect(readAdminRequest(registry, ['promote', '--help'])).toBe('help')
})
