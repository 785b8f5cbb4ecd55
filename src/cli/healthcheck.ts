import { get } from 'node:http'
import { nonEmptyVariables, readSettingFile } from '#kernel/config/environment.ts'

// `node src/cli/healthcheck.ts [PATH]`: the health check of a container, whose image has no other HTTP client. It requests
// PATH (`/healthz` by default) from the process that listens on MANAGEMENT_PORT, or else on PORT, of this machine.
// Exit status: 0 if the answer is 200 and comes within two seconds, otherwise 1.

const timeoutMs = 2_000

const settings = nonEmptyVariables(process.env)
const setting = (name: string): string | undefined => {
  const file = settings[`${name}_FILE`]
  return settings[name] ?? (file === undefined ? undefined : readSettingFile(file))
}
const port = setting('MANAGEMENT_PORT') ?? setting('PORT') ?? '3000'
const host = (setting('HOST') ?? '').trim().replace(/^\[(.*)\]$/, '$1')
const [path = '/healthz'] = process.argv.slice(2)
const anyAddress = ['', '0.0.0.0', '::']

const exit = (code: number, message = '') => {
  if (message !== '') console.error(message)
  process.exit(code)
}
get(
  { host: anyAddress.includes(host) ? '127.0.0.1' : host, port, path, timeout: timeoutMs },
  async (response) => {
    let body = ''
    for await (const chunk of response.setEncoding('utf8')) body += chunk
    if (response.statusCode === 200) exit(0)
    else exit(1, `${path}: ${response.statusCode} ${body}`)
  },
)
  .on('timeout', () => exit(1, `${path}: no answer within ${timeoutMs / 1_000} s`))
  .on('error', (error) => exit(1, `${path}: ${error.message}`))
