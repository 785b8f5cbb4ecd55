import mongoose from 'mongoose'
import { mongodbUri } from './mongodb-uri.ts'

type Document = mongoose.mongo.Document

/** A command as the driver sent it. */
export interface SentCommand {
  name: string
  database: string
  /** Empty for a command that has none, such as commitTransaction. */
  collection: string
  command: Document
}

/** Returns the `MONGODB_URI` of a program whose commands are recorded. */
export const recordedUri = (): string => `${mongodbUri}&monitorCommands=true`

/**
 * Records the commands that programs of this process send from now on, if they run on `recordedUri`. The driver's own
 * commands (hello, heartbeats) are not recorded.
 */
export function recordCommands() {
  const sent: SentCommand[] = []
  const listen = ({
    commandName: name,
    databaseName: database,
    command,
  }: mongoose.mongo.CommandStartedEvent) => {
    const collection: unknown = command[name === 'getMore' ? 'collection' : name]
    sent.push({ name, database, collection: typeof collection === 'string' ? collection : '', command })
  }
  const open = mongoose.connections.filter(
    ({ readyState }) => readyState === mongoose.ConnectionStates.connected,
  )
  const clients = new Set(open.map((connection) => connection.getClient()))
  for (const client of clients) client.on('commandStarted', listen)
  return {
    /** Returns the commands since the previous call. */
    take: (): SentCommand[] => sent.splice(0),
    stop() {
      for (const client of clients) client.off('commandStarted', listen)
    },
  }
}

/** Returns the filters of a command. For an insert, they are the documents. */
export function filtersOf({ name, command }: SentCommand): Document[] {
  if (name === 'insert') return command.documents
  if (name === 'find') return alternativesOf(command.filter)
  if (name === 'aggregate') return [command.pipeline[0].$match]
  if (name === 'findAndModify') return [command.query]
  if (name === 'update') return command.updates.map(({ q }: Document) => q)
  if (name === 'delete') return command.deletes.map(({ q }: Document) => q)
  throw new Error(`${name}: filtersOf does not know where this command has its filter`)
}

/** Returns the alternatives of a filter that consists of a single `$or`, otherwise the filter. */
const alternativesOf = ({ $or, ...others }: Document): Document[] =>
  Array.isArray($or) && Object.keys(others).length === 0 ? $or : [{ ...others, ...($or && { $or }) }]
