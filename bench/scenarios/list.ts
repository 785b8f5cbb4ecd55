import { type Program, startPeer } from '../programs.ts'
import { load, measureInTurn } from '../rounds.ts'
import type { Scenario } from '../scenario.ts'
import { startShop } from '../shop.ts'
import { summarizeRatio } from '../statistics.ts'
import { loadTable } from '../tables.ts'

export const list: Scenario = {
  name: 'list',
  title: 'The first page of the catalogue',
  about:
    'Each request reads the 20 newest of 10,000 products (`GET /products?limit=20`), over 64 connections. All clients read the same page, as the visitors of a shop do.',
  async run(context) {
    const shop = await startShop(context, 'list')
    const handWritten = await startPeer(context, 'hand-written', `${shop.database}_product`)
    const express = await startPeer(context, 'express-mongoose', `${shop.database}_product`)
    const listing = (program: Program) =>
      load(program, { workload: 'get', path: '/products?limit=20' }, { connections: 64 })
    const samples = await measureInTurn(context, 'first page', {
      Trivet: listing(shop.program),
      'hand-written': listing(handWritten),
      'Express with mongoose': listing(express),
    })
    const lessCpuTime = (peer: typeof samples.Trivet) => summarizeRatio('cpuMicros', peer, samples.Trivet)
    return {
      ratios: [
        {
          label: 'CPU time of a page of the catalogue, 64 connections: hand-written ÷ Trivet',
          ratio: lessCpuTime(samples['hand-written']),
        },
        {
          label: 'CPU time of a page of the catalogue, 64 connections: Express with mongoose ÷ Trivet',
          ratio: lessCpuTime(samples['Express with mongoose']),
        },
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
