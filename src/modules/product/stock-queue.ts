import { createQueue, type Queue } from '../../kernel/queue.ts'

export type StockQueue = Queue

/**
 * All that moves stock waits here in line, one transaction at a time: transactions of one process that met on a hot
 * product would only abort each other. Several processes still meet, and decide anew.
 */
export const createStockQueue = (): StockQueue =>
  createQueue({ name: 'the stock queue', concurrency: 1, bound: 2_000 })
