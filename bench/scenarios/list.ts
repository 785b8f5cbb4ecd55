import { loadTable, type Scenario } from '../outcome.ts'
import { startPeer } from '../programs.ts'
import { inTurn } from '../rounds.ts'
import { openShop } from '../shop.ts'
import { ratioOf } from '../spread.ts'
import { load } from '../wrk.ts'

export const list: Scenario = {
  name: 'list',
  title: 'The first page of the catalogue',
  about:
    'The 20 newest of 10,000 products, `GET /products/?limit=20`, over 64 connections. Everybody asks for the same page, as visitors of a shop do.',
  async run(stage) {
    const shop = await openShop(stage, 'list')
    const handWritten = await startPeer(stage, 'hand-written', `${shop.database}_product`)
    const express = await startPeer(stage, 'express-mongoose', `${shop.database}_product`)
    const listing =
      ({ url }: { url: string }) =>
      (seconds: number) =>
        load(url, { workload: 'get', path: '/products/?limit=20' }, { connections: 64, seconds })
    const measured = await inTurn(stage, 'list', {
      Trivet: listing(shop.program),
      'hand-written': listing(handWritten),
      'Express, mongoose': listing(express),
    })
    const rate = (contender: keyof typeof measured) => measured[contender].map((each) => each.rate)
    return {
      ratios: [
        {
          what: 'pages/s of the catalogue, 64 connections: Trivet ÷ hand-written',
          ratio: ratioOf(rate('Trivet'), rate('hand-written')),
        },
        {
          what: 'pages/s of the catalogue, 64 connections: Trivet ÷ Express with mongoose',
          ratio: ratioOf(rate('Trivet'), rate('Express, mongoose')),
        },
      ],
      targets: [],
      tables: [loadTable('64 connections', measured)],
      notes: [],
    }
  },
}
