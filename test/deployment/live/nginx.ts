import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'yaml'
import { freePort } from '#src/embedded/free-port.ts'
import { textOf } from '#test/support/output.ts'

const template = new URL('../../../deploy/nginx/nginx.conf.template', import.meta.url)
const controllerValues = new URL('../../../deploy/nginx/ingress-controller-values.yaml', import.meta.url)

/** A running NGINX. */
export interface Nginx {
  url: string
  port: number
  /** The folder in which NGINX stores request bodies that exceed its buffer. */
  bodies: string
  readAccessLog(): Promise<{ requestId: string; method: string; path: string; status: number }[]>
  /** The lines of the error log about connections to replicas that were lost during a request. */
  lostConnections(): string[]
  stop(): Promise<void>
}

/** The nginx on PATH, or else Debian's, whose folder is often not on PATH. */
export const nginxBinary: string | undefined = ['nginx', '/usr/sbin/nginx'].find(
  (binary) => spawnSync(binary, ['-v']).status === 0,
)

/**
 * Starts NGINX with the configuration in deploy/nginx.
 * @param resolver host and port of the DNS server that resolves the names of the services
 * @param servicePort the port on which each service listens
 */
export async function startNginx(
  binary: string,
  { resolver, servicePort }: { resolver: string; servicePort: number },
): Promise<Nginx> {
  const shipped = await readFile(template, 'utf8')
  return run(binary, (directory, port) =>
    rendered(shipped, {
      NGINX_LOCAL_RESOLVERS: resolver,
      NGINX_ACCESS_LOG: join(directory, 'access.log'),
      NGINX_DIRECTORY: directory,
      NGINX_PORT: String(port),
      // Each worker queries names for itself. With one worker, a query means that NGINX as a whole has the new addresses.
      NGINX_WORKERS: '1',
      SERVICE_PORT: String(servicePort),
    }),
  )
}

/**
 * Starts NGINX as the F5 ingress controller configures it: the configuration contains the snippets of deploy/nginx, and a
 * Service without a pod is a server that answers 502.
 * @param pods the host and port that `/products` leads to; `/orders` leads to a Service without a pod
 */
export async function startIngressController(binary: string, pods: string): Promise<Nginx> {
  const { controller } = parse(await readFile(controllerValues, 'utf8'))
  const { 'http-snippets': httpSnippets, 'server-snippets': serverSnippets } = controller.config.entries
  return run(
    binary,
    (directory, port) => `
      worker_processes 1;
      pid ${directory}/nginx.pid;
      error_log stderr notice;
      events {}
      http {
        access_log ${directory}/access.log;
        client_body_temp_path ${directory}/body;
        proxy_temp_path ${directory}/proxy;
        fastcgi_temp_path ${directory}/fastcgi;
        uwsgi_temp_path ${directory}/uwsgi;
        scgi_temp_path ${directory}/scgi;
        proxy_read_timeout 500ms;
        ${httpSnippets}
        server {
          listen 127.0.0.1:${port};
          ${serverSnippets}
          location /products { proxy_pass http://${pods}; }
          location /orders { proxy_pass http://unix:${directory}/none.sock; }
        }
        server {
          listen unix:${directory}/none.sock;
          return 502;
        }
      }`,
  )
}

/** Starts NGINX with a temporary folder and a free port. */
async function run(
  binary: string,
  configurationOf: (directory: string, port: number) => string,
): Promise<Nginx> {
  const directory = await mkdtemp(join(tmpdir(), 'trivet-nginx-'))
  const port = await freePort()
  const configuration = join(directory, 'nginx.conf')
  const accessLog = join(directory, 'access.log')
  // If root starts NGINX, the workers run as another user, which cannot open the temporary folder of root.
  const user = process.getuid?.() === 0 ? 'user root; ' : ''
  await writeFile(configuration, configurationOf(directory, port))

  const child = spawn(binary, ['-c', configuration, '-e', 'stderr', '-g', `${user}daemon off;`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const errors = textOf(child.stderr)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}: ${errors()}`)
    await sleep(20)
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    bodies: join(directory, 'body'),
    async readAccessLog() {
      const lines = (await readFile(accessLog, 'utf8')).trimEnd().split('\n')
      return lines.map((line) => JSON.parse(line))
    },
    lostConnections: () =>
      errors()
        .split('\n')
        .filter((line) => /prematurely closed|reset by peer|timed out.*reading response/.test(line))
        .map((line) => line.replace(/^\S+ \S+ \S+ \S+ (\*\d+ )?/, '').replace(/, client.*request: /, ', ')),
    async stop() {
      child.kill('SIGTERM')
      await ended
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Replaces only the given variables, as `envsubst` in the image's entry point does. NGINX has variables of its own. */
function rendered(text: string, variables: Record<string, string>): string {
  return Object.entries(variables).reduce((all, [name, value]) => all.replaceAll(`\${${name}}`, value), text)
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
