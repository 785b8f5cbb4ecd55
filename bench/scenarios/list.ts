import { startPeer } from '../programs.ts'
import { measureInTurn } from '../rounds.ts'
import type { Scenario } from '../scenario.ts'
import { startShop } from '../shop.ts'
import { summarizeRatio } from '../statistics.ts'
import { loadTable } from '../tables.ts'
import { measureLoad } from '../wrk.ts'

export const list: Scenario = {
  name: 'list',
  title: 'The first page of the catalogue',
  about:
    'Each request reads the 20 newest of 10,000 products (`GET /products?limit=20`), over 64 connections. All clients read the same page, as the visitors of a shop do.',
  async run(context) {
    const shop = await startShop(context, 'list')
    const handWritten = await startPeer(context, 'hand-written', `${shop.database}_product`)
    const express = await startPeer(context, 'express-mongoose', `${shop.database}_product`)
    const listing =
      ({ url }: { url: string }) =>
      (seconds: number) =>
        measureLoad(url, { workload: 'get', path: '/products?limit=20' }, { connections: 64, seconds })
    const samples = await measureInTurn(context, 'first page', {
      Trivet: listing(shop.program),
      'hand-written': listing(handWritten),
      'Express with mongoose': listing(express),
    })
    return {
      ratios: [
        {
          label: 'pages/s of the catalogue, 64 connections: Trivet ÷ hand-written',
          ratio: summarizeRatio('perSecond', samples.Trivet, samples['hand-written']),
        },
        {
          label: 'pages/s of the catalogue, 64 connections: Trivet ÷ Express with mongoose',
          ratio: summarizeRatio('perSecond', samples.Trivet, samples['Express with mongoose']),
        },
      ],
      targets: [],
      tables: [loadTable('64 connections', samples)],
      notes: [],
    }
  },
}
