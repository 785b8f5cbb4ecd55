// Runs mongod, and stops it when the parent process ends, even if the parent is killed: the parent holds the other end
// of standard input, and the operating system closes standard input when the parent ends.
// Usage: node watchdog.ts <mongod> <argument>...
import { spawn } from 'node:child_process'

const [binary = 'mongod', ...args] = process.argv.slice(2)
const stopTimeoutMs = 10_000

const mongod = spawn(binary, args, { stdio: ['ignore', 'inherit', 'inherit'] })
// If a signal kills this process, the parent process kills mongod. A parent that has ended does not receive the message:
// standard input is closed then.
mongod.once('spawn', () => process.send?.(mongod.pid, () => undefined))
mongod.once('error', (error) => {
  console.error(error.message)
  process.exit(1)
})
mongod.once('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)))

process.stdin.resume()
process.stdin.once('close', () => {
  mongod.kill('SIGTERM')
  setTimeout(() => mongod.kill('SIGKILL'), stopTimeoutMs)
})
