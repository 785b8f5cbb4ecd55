import type mongoose from 'mongoose'
import type { Metrics } from '#kernel/metrics.ts'

const inUse = { name: 'trivet_mongodb_pool_in_use_connections', help: 'Connections to MongoDB in use' }
const waiting = {
  name: 'trivet_mongodb_pool_waiting_operations',
  help: 'Operations that wait for a connection to MongoDB',
}

/**
 * Adds the metrics of the connection pool.
 * @returns a function that follows the pool of a client of the driver, before it is open
 */
export function createPoolMetrics(metrics: Metrics): (client: mongoose.mongo.MongoClient) => void {
  let usedCount = 0
  let waitingCount = 0
  let followed: mongoose.mongo.MongoClient | undefined
  metrics.gauge(inUse, () => usedCount)
  metrics.gauge(waiting, () => waitingCount)
  return (client) => {
    if (client === followed) return
    followed = client
    client.on('connectionCheckOutStarted', () => {
      waitingCount += 1
    })
    client.on('connectionCheckOutFailed', () => {
      waitingCount -= 1
    })
    client.on('connectionCheckedOut', () => {
      waitingCount -= 1
      usedCount += 1
    })
    client.on('connectionCheckedIn', () => {
      usedCount -= 1
    })
  }
}
