import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const run = promisify(execFile)
// More than any pipe holds.
const length = 5_000_000

/** What a process has written into a pipe that exits as soon as this has run. */
async function written(code: string): Promise<string> {
  const args = ['--input-type=module-typescript', '-e', `${code}\nprocess.exit(0)`]
  const { stdout } = await run(process.execPath, args, { maxBuffer: 2 * length })
  return stdout
}

const source = (name: string) => JSON.stringify(new URL(`../${name}`, import.meta.url).href)

it('a long answer is there to its end when the process exits', async () => {
  const answer = await written(
    `import { print } from ${source('cli/print.ts')}\nawait print('x'.repeat(${length}) + 'end')`,
  )
  expect(answer.length).toBe(length + 'end\n'.length)
  expect(answer.endsWith('end\n')).toBe(true)
})

it('the last line of the log is there when the process exits, however much was before it', async () => {
  const log = await written(`import { createLogger } from ${source('kernel/logger.ts')}
    const logger = await createLogger({ level: 'info', human: false, service: 'test' })
    for (let n = 0; n < 5; n++) logger.info('x'.repeat(${length / 5 - 1_000}))
    logger.info('stopped')`)
  expect(log.trimEnd().split('\n').at(-1)).toContain('"stopped"')
})
