import { spawnSync } from 'node:child_process'

// In CI a missing toolchain must not hide a failure, so the tests run there in any case.
const isInstalled = (program: string, ...args: string[]) =>
  Boolean(process.env.CI) || spawnSync(program, args, { timeout: 60_000 }).status === 0

/** The reason why this machine cannot run Go. Undefined if it can. */
export const noGo = isInstalled('go', 'version') ? undefined : 'Go is not installed (go version)'

/** The reason why this machine cannot compile Java with Maven. Undefined if it can. */
export const noJava = !isInstalled('javac', '-version')
  ? 'a Java development kit is not installed (javac -version)'
  : !isInstalled('mvn', '-version')
    ? 'Maven is not installed (mvn -version)'
    : undefined
