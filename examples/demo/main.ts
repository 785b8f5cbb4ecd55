// `npm run demo`: a sale in the split shape, in which two processes are killed, and its audit.
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { createLogUpdate } from 'log-update'
import { cutLine, styled } from './lines.ts'
import { createRecording } from './recording.ts'
import { runSale } from './run-sale.ts'
import { countBuyers, createSale, type Sale, type SaleEvent } from './sale.ts'
import { columns, draw, rows, seconds } from './view.ts'

const usage = `npm run demo -- [--plain] [--record FILE]

Starts a shop as one process per module, on free ports and with data of its own. 200 buyers order 50 cups. Two processes are killed in the
middle. At the end, an audit compares the stock with every reservation and every order. It takes about half a minute, and leaves nothing
behind.

  --plain         prints lines, as it does where the output is no terminal of at least ${columns} × ${rows + 1} characters
  --record FILE   also writes the sale, as a terminal shows it, as an animated SVG

Exit status: 0 all promises were kept, 1 a promise was broken, 2 the demo could not run, 130 it was interrupted.`

const refreshEveryMs = 100
const plainEveryMs = 1_000

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      plain: { type: 'boolean', default: false },
      record: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    return 0
  }
  // A file that cannot be written is known before the sale.
  if (values.record !== undefined) await writeFile(values.record, '')
  const sale = createSale()
  const startedAt = performance.now()
  const nowMs = () => performance.now() - startedAt
  const recording = values.record === undefined ? undefined : createRecording({ columns, rows })
  const output = isLargeTerminal() && !values.plain ? liveOutput(sale, nowMs) : plainOutput(sale, nowMs)
  const recordFrame = (isLast = false) => {
    if (sale.phase !== 'preparing') recording?.add(draw(sale, nowMs()), nowMs(), isLast)
  }
  const recorder = setInterval(recordFrame, refreshEveryMs)
  let isInterrupted = false
  const interrupted = new Promise<never>((_resolve, reject) => {
    const interrupt = () => {
      isInterrupted = true
      reject(new Error('interrupted'))
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupt)
  })
  try {
    await runSale(sale, { nowMs, onEvent: output.onEvent, interrupted })
    recordFrame(true)
  } catch (error) {
    if (isInterrupted) return 130
    throw error
  } finally {
    clearInterval(recorder)
    output.close()
  }
  if (values.record !== undefined && recording)
    await writeFile(values.record, recording.toSvg('A sale in which two processes are killed'))
  const promises = sale.verdict?.promises ?? []
  const kept = promises.filter(({ isKept }) => isKept).length
  console.log(
    `${kept} of ${promises.length} promises were kept, in ${Math.round(nowMs() / 1_000)} s. Nothing is left behind.`,
  )
  return kept === promises.length ? 0 : 1
}

interface Output {
  onEvent(event: SaleEvent): void
  close(): void
}

const isLargeTerminal = (): boolean => {
  const { isTTY, columns: width = 0, rows: height = 0 } = process.stdout
  return isTTY === true && width >= columns && height > rows
}

/** Draws the view in place. */
function liveOutput(sale: Sale, nowMs: () => number): Output {
  const update = createLogUpdate(process.stdout)
  const show = () =>
    update(
      draw(sale, nowMs())
        .map((line) => styled(cutLine(line, columns)))
        .join('\n'),
    )
  const timer = setInterval(show, refreshEveryMs)
  return {
    onEvent: show,
    close() {
      clearInterval(timer)
      show()
      update.done()
    },
  }
}

/** Prints a line for each event, and one each second while the shop sells. */
function plainOutput(sale: Sale, nowMs: () => number): Output {
  const print = (atMs: number, text: string) => console.log(`${seconds(atMs).padStart(7)}  ${text}`)
  const timer = setInterval(() => {
    if (sale.phase !== 'selling') return
    const counts = (['bought', 'refused', 'ordering', 'retrying'] as const).map(
      (state) => `${countBuyers(sale, state)} ${state}`,
    )
    print(nowMs(), `${counts.join(', ')}; stock, when last read: ${sale.stock ?? 'unknown'}`)
  }, plainEveryMs)
  return {
    onEvent: ({ atMs, text }) => print(atMs, text),
    close() {
      clearInterval(timer)
      for (const { promise, isKept, evidence } of sale.verdict?.promises ?? [])
        console.log(`${isKept ? 'kept  ' : 'BROKEN'}  ${promise}: ${evidence}`)
    },
  }
}

const code = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  return 2
})
// Buyers of an interrupted sale would go on.
process.exit(code)
