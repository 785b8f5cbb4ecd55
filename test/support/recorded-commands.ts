import mongoose from 'mongoose'
import { inject } from 'vitest'

type Document = mongoose.mongo.Document

/** A command as the driver sent it. */
export interface SentCommand {
  name: string
  database: string
  /** Empty for a command that has none, such as commitTransaction. */
  collection: string
  command: Document
}

/** `MONGODB_URI` of a program whose commands can be recorded. */
export const recordedUri = (): string => `${inject('mongodbUri')}&monitorCommands=true`

/**
 * Whatever the programs of this process that run on `recordedUri` send from now on. What the driver asks for its own
 * sake (hello, the heartbeat) is not a command of theirs, and not among it.
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
    /** What was sent since it was asked last. */
    take: (): SentCommand[] => sent.splice(0),
    stop() {
      for (const client of clients) client.off('commandStarted', listen)
    },
  }
}

/** The conditions on the documents that a command is about; those of an insert are the documents themselves. */
export function filtersOf({ name, command }: SentCommand): Document[] {
  if (name === 'insert') return command.documents
  if (name === 'find') return alternativesOf(command.filter)
  if (name === 'findAndModify') return [command.query]
  if (name === 'update') return command.updates.map(({ q }: Document) => q)
  if (name === 'delete') return command.deletes.map(({ q }: Document) => q)
  throw new Error(`${name}: say here where it has its filter`)
}

/** Of a filter that is nothing but alternatives, each asks for documents of its own. */
const alternativesOf = ({ $or, ...others }: Document): Document[] =>
  Array.isArray($or) && Object.keys(others).length === 0 ? $or : [{ ...others, ...($or && { $or }) }]
