/**
 * Prints on standard output, and resolves once it is there: of a process that exits, what is still on its way into a
 * pipe is lost.
 */
export const print = (text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    process.stdout.once('error', reject)
    process.stdout.write(`${text}\n`, (error) => (error ? reject(error) : resolve()))
  })
