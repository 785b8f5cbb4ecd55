import { spawnSync } from 'node:child_process'

const succeeds = (program: string, ...args: string[]) =>
  spawnSync(program, args, { timeout: 60_000 }).status === 0

/** The reason why this machine cannot run Go. Undefined if it can. */
export const noGo = succeeds('go', 'version') ? undefined : 'Go is not installed (go version)'

/** The reason why this machine cannot compile Java with Maven. Undefined if it can. */
export const noJava = !succeeds('javac', '-version')
  ? 'a Java development kit is not installed (javac -version)'
  : !succeeds('mvn', '-version')
    ? 'Maven is not installed (mvn -version)'
    : undefined
