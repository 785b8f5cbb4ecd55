import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../src/embedded/free-port.ts'

const template = new URL('../../deploy/nginx/trivet.conf.template', import.meta.url)

/** NGINX with the configuration that is shipped. */
export interface Nginx {
  url: string
  port: number
  stop(): Promise<void>
}

/** `nginx` on PATH or where Debian has it, which is not on everybody's PATH. */
export const nginxBinary: string | undefined = ['nginx', '/usr/sbin/nginx'].find(
  (binary) => spawnSync(binary, ['-v']).status === 0,
)

/**
 * @param resolver the DNS server that knows the services
 * @param servicePort where each service listens
 */
export async function startNginx(
  binary: string,
  { resolver, servicePort }: { resolver: string; servicePort: number },
): Promise<Nginx> {
  const directory = await mkdtemp(join(tmpdir(), 'trivet-nginx-'))
  const port = await freePort()
  const shipped = rendered(await readFile(template, 'utf8'), {
    NGINX_LOCAL_RESOLVERS: resolver,
    NGINX_PORT: String(port),
    NGINX_SOCKET: join(directory, 'writes.sock'),
    SERVICE_PORT: String(servicePort),
  })
  // The image logs to its standard output.
  const own = shipped.replace('/dev/stdout', join(directory, 'access.log'))
  await writeFile(join(directory, 'trivet.conf'), own)
  await writeFile(join(directory, 'nginx.conf'), surroundings(directory))

  const output: string[] = []
  const args = ['-p', directory, '-c', 'nginx.conf', '-e', join(directory, 'error.log'), '-g', 'daemon off;']
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(String(chunk)))
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  while (!(await accepts(port))) {
    if (child.exitCode !== null) {
      const log = await readFile(join(directory, 'error.log'), 'utf8').catch(() => '')
      throw new Error(`nginx ended with ${child.exitCode}: ${output.join('')}${log}`)
    }
    await sleep(20)
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async stop() {
      child.kill('SIGTERM')
      await ended
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** As `envsubst` in the image's entry point: of what looks like a variable only those that are given. */
function rendered(text: string, variables: Record<string, string>): string {
  return Object.entries(variables).reduce((all, [name, value]) => all.replaceAll(`\${${name}}`, value), text)
}

/** What the image has around the configuration, and files that may be written by whoever runs the tests. */
const surroundings = (directory: string) => `
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${join(directory, 'nginx.pid')};
error_log ${join(directory, 'error.log')} notice;
# One, so that whoever has asked for a name has asked for all.
worker_processes 1;
events { worker_connections 1024; }
http {
    client_body_temp_path ${join(directory, 'body')};
    proxy_temp_path ${join(directory, 'proxy')};
    fastcgi_temp_path ${join(directory, 'fastcgi')};
    uwsgi_temp_path ${join(directory, 'uwsgi')};
    scgi_temp_path ${join(directory, 'scgi')};
    sendfile on;
    keepalive_timeout 65;
    include trivet.conf;
}
`

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
