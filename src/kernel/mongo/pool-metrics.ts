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
  let used = 0
  let wait = 0
  let followed: mongoose.mongo.MongoClient | undefined
  metrics.gauge(inUse, () => used)
  metrics.gauge(waiting, () => wait)
  return (client) => {
    if (client === followed) return
    followed = client
    client.on('connectionCheckOutStarted', () => {
      wait += 1
    })
    client.on('connectionCheckOutFailed', () => {
      wait -= 1
    })
    client.on('connectionCheckedOut', () => {
      wait -= 1
      used += 1
    })
    client.on('connectionCheckedIn', () => {
      used -= 1
    })
  }
}
