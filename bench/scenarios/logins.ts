import { setTimeout as sleep } from 'node:timers/promises'
import { fileOf, password, registerCustomers } from '../customers.ts'
import { atMost, loadHead, loadRow, rates, type Scenario } from '../outcome.ts'
import { inTurn } from '../rounds.ts'
import { catalogue, openShop } from '../shop.ts'
import { ratioOf, spreadOf } from '../spread.ts'
import { load } from '../wrk.ts'

const accounts = 16
// Seconds: sign-ins have queued up by then, and those that wait are answered or given up.
const rise = 1
const fall = 5

export const logins: Scenario = {
  name: 'logins',
  title: 'Reads beside sign-ins',
  about: `Reads by id over 64 connections, alone and while 64 other connections sign in with right passwords as fast as
they are answered, with bcrypt at cost 12. One process serves both. A sign-in that cannot be had within 4 s is refused with
503, which is expected here: this is more than two cores can hash.`,
  async run(stage) {
    const { program } = await openShop(stage, 'logins', { settings: { BCRYPT_COST: '12' } })
    const emails = (await registerCustomers(program.url, accounts)).map(({ email }) => email)
    const addresses = await fileOf(stage, emails)
    const read = (seconds: number) =>
      load(program.url, { workload: 'product', products: catalogue }, { connections: 64, seconds })
    const signIns = (seconds: number) =>
      load(
        program.url,
        { workload: 'login', accounts: addresses, password },
        { connections: 64, seconds, expected: [503] },
      )
    const measured = await inTurn(stage, 'reads', {
      alone: async (seconds) => ({ ...(await read(seconds)), signIns: 0 }),
      'beside sign-ins': async (seconds) => {
        const flood = signIns(seconds + 2 * rise)
        const reading = sleep(rise * 1_000).then(() => read(seconds))
        const [reads, { rate }] = await Promise.all([reading, flood])
        await sleep(fall * 1_000)
        return { ...reads, signIns: rate }
      },
    })
    const of = (value: 'p99' | 'rate') =>
      ratioOf(
        measured['beside sign-ins'].map((each) => each[value]),
        measured.alone.map((each) => each[value]),
      )
    return {
      ratios: [
        { what: 'p99 of a read by id, 64 connections: beside 64 who sign in ÷ alone', ratio: of('p99') },
        { what: 'reads/s by id, 64 connections: beside 64 who sign in ÷ alone', ratio: of('rate') },
      ],
      targets: [atMost('p99 of reads beside 64 who sign in ÷ alone', 2, of('p99'))],
      tables: [
        {
          title: 'Reads by id, 64 connections',
          head: [...loadHead, 'sign-ins/s'],
          rows: Object.entries(measured).map(([name, loads]) => [
            ...loadRow(name, loads),
            rates(spreadOf(loads.map((each) => each.signIns))),
          ]),
        },
      ],
      notes: [],
    }
  },
}
