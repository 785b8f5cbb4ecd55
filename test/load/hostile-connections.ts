import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What hostile clients do: each connection sends a text, and is then kept open. */
export interface Attack {
  port: number
  connections: number
  /** In Latin-1. */
  text: string
  /** Whether the clients read what the server sends. The default is false. */
  reads?: boolean
  /** Whether a connection that the server closes is opened again. The default is true. */
  reconnects?: boolean
}

export interface AttackResult {
  opened: number
  closed: number
  /** The longest time from the beginning of a connection to its end. */
  slowestCloseMs: number
}

/** Hostile clients in a process of their own, so that they do not delay the measurements of the test. */
export interface HostileClients {
  /** Resolves when the server has closed all connections. Only for connections that are not opened again. */
  allClosed: Promise<AttackResult>
  /** Ends the connections, and returns what happened to them. */
  stop(): Promise<AttackResult>
}

export function startAttack(attack: Attack): HostileClients {
  const child = fork(fileURLToPath(new URL('hostile-client.ts', import.meta.url)), { execArgv: [] })
  child.send(attack)
  const allClosed = resultOf(child)
  return {
    allClosed,
    async stop() {
      child.send('stop')
      const result = await resultOf(child)
      child.kill('SIGKILL')
      return result
    },
  }
}

const resultOf = async (child: ChildProcess): Promise<AttackResult> => {
  const [result] = (await once(child, 'message')) as [AttackResult]
  return result
}
