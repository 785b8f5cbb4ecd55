/**
 * Prints the result of a program on standard output. If it cannot be written, the process exits with 2. `console.log` would
 * ignore the error, and a program whose result is lost would exit with 0.
 */
export function printResult(text: string): void {
  process.stdout.on('error', (error) => {
    console.error(`the result could not be written: ${error.message}`)
    process.exitCode = 2
  })
  process.stdout.write(`${text}\n`)
}
