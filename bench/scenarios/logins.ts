import { setTimeout as sleep } from 'node:timers/promises'
import { password, registerCustomers, writeLines } from '../customers.ts'
import { measureInTurn } from '../rounds.ts'
import { atMost, type Scenario } from '../scenario.ts'
import { catalogueSize, startShop } from '../shop.ts'
import { summarize, summarizeRatio } from '../statistics.ts'
import { formatRates, loadColumns, loadRow } from '../tables.ts'
import { measureLoad } from '../wrk.ts'

const accounts = 16
/** After this time the queue of sign-ins is full. */
const fillQueueSeconds = 1
/** After this time all waiting sign-ins are answered. */
const emptyQueueSeconds = 5

export const logins: Scenario = {
  name: 'logins',
  title: 'Reads during sign-ins',
  about: `64 connections read products by id: first alone, then while 64 other connections sign in as fast as they are
answered. The passwords are right, and bcrypt has cost 12. One process serves both. A sign-in that cannot be served within 4 s is refused
with 503. Such refusals are expected here, because two cores cannot hash as many passwords. After a refusal, a client waits for as long as
\`Retry-After\` says. The CPU time of a read during
sign-ins contains that of the sign-ins.`,
  async run(context) {
    const { program } = await startShop(context, 'logins', { settings: { BCRYPT_COST: '12' } })
    const emails = (await registerCustomers(program.url, accounts)).map(({ email }) => email)
    const emailFile = await writeLines(context, emails)
    const read = (seconds: number) =>
      measureLoad(program.url, { workload: 'product', products: catalogueSize }, { connections: 64, seconds })
    const signIn = (seconds: number) =>
      measureLoad(
        program.url,
        { workload: 'login', accounts: emailFile, password },
        { connections: 64, seconds, expectedStatuses: [503] },
      )
    const samples = await measureInTurn(context, 'reads', {
      alone: {
        programs: [program],
        measure: async (seconds) => ({ ...(await read(seconds)), signInsPerSecond: 0 }),
      },
      'during sign-ins': {
        programs: [program],
        async measure(seconds) {
          const signingIn = signIn(seconds + 2 * fillQueueSeconds)
          const reading = sleep(fillQueueSeconds * 1_000).then(() => read(seconds))
          const [reads, { perSecond }] = await Promise.all([reading, signingIn])
          await sleep(emptyQueueSeconds * 1_000)
          return { ...reads, signInsPerSecond: perSecond }
        },
      },
    })
    const p99Ratio = summarizeRatio('p99Ms', samples['during sign-ins'], samples.alone)
    const rateRatio = summarizeRatio('perSecond', samples['during sign-ins'], samples.alone)
    return {
      ratios: [
        { label: 'p99 of a read by id, 64 connections: during sign-ins ÷ alone', ratio: p99Ratio },
        { label: 'reads/s by id, 64 connections: during sign-ins ÷ alone', ratio: rateRatio },
      ],
      targets: [atMost('p99 of a read: during sign-ins ÷ alone', 2, p99Ratio)],
      tables: [
        {
          title: 'Reads by id, 64 connections',
          head: ['', ...loadColumns, 'sign-ins/s'],
          rows: Object.entries(samples).map(([variant, rounds]) => [
            ...loadRow(variant, rounds),
            formatRates(summarize(rounds.map(({ signInsPerSecond }) => signInsPerSecond))),
          ]),
        },
      ],
      notes: [],
    }
  },
}
