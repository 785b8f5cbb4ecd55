import { get } from 'node:http'
import { nonEmptyVariables, readSettingFile } from '#kernel/config/environment.ts'

/**
 * `node src/cli/healthcheck.ts [PATH]`, for containers that have no other client: asks the process that listens on PORT
 * here for PATH (`/healthz` unless told), and ends with 0 if it answers 200 within two seconds, else with 1 and a line
 * that says why.
 */
const settings = nonEmptyVariables(process.env)
const setting = (name: string): string | undefined => {
  const file = settings[`${name}_FILE`]
  return settings[name] ?? (file === undefined ? undefined : readSettingFile(file))
}
const port = setting('PORT') ?? '3000'
const host = (setting('HOST') ?? '').trim().replace(/^\[(.*)\]$/, '$1')
const [path = '/healthz'] = process.argv.slice(2)
const any = ['', '0.0.0.0', '::']

const end = (code: number, line = '') => {
  if (line !== '') console.error(line)
  process.exit(code)
}
get({ host: any.includes(host) ? '127.0.0.1' : host, port, path, timeout: 2_000 }, async (response) => {
  let body = ''
  for await (const chunk of response.setEncoding('utf8')) body += chunk
  if (response.statusCode === 200) end(0)
  else end(1, `${path}: ${response.statusCode} ${body}`)
})
  .on('timeout', () => end(1, `${path}: no answer within 2 s`))
  .on('error', (error) => end(1, `${path}: ${error.message}`))
