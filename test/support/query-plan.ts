import type { mongo } from 'mongoose'
import type { Db } from './collections.ts'
import { filtersOf, type SentCommand } from './recorded-commands.ts'

type Document = mongo.Document

/** How MongoDB executes one statement. */
export interface Plan {
  /** For example `find orders by userId in order of -createdAt`. */
  name: string
  /** The stages of the plan, and of a pipeline such as `$group`. */
  stages: string[]
  /** The number of documents that a read returns or a write matches. */
  returned: number
  documentsExamined: number
  keysExamined: number
  /** The number of index ranges that it scans. */
  ranges: number
  /** The number of those ranges that hold at most one document. */
  lookUps: number
  /** The statement and its plan, for the message of a failure. */
  text: string
}

const withPlan = ['find', 'aggregate', 'count', 'distinct', 'findAndModify', 'update', 'delete']
/** A getMore continues its find. */
const withoutPlan = ['insert', 'getMore']

/** These fields say how a command is sent, not what it does. */
const transportFields = new Set([
  ...['lsid', 'txnNumber', 'startTransaction', 'autocommit', 'readConcern', 'writeConcern', 'maxTimeMS'],
  ...['$db', '$clusterTime', '$readPreference'],
])

/** Returns the statements of a command that have a plan. One command can contain many writes. */
export function statementsOf({ name, collection, command, ...sent }: SentCommand): SentCommand[] {
  if (collection === '' || withoutPlan.includes(name)) return []
  if (!withPlan.includes(name))
    throw new Error(`${name}: statementsOf does not know whether this command has a plan`)
  const lasting = Object.fromEntries(Object.entries(command).filter(([field]) => !transportFields.has(field)))
  const statements = { update: 'updates', delete: 'deletes' }[name]
  const commands: Document[] = statements
    ? command[statements].map((statement: Document) => ({ ...lasting, [statements]: [statement] }))
    : [lasting]
  return commands.map((each) => ({ ...sent, name, collection, command: each }))
}

/** @param statement one of `statementsOf` */
export async function explain(db: Db, statement: SentCommand): Promise<Plan> {
  const { command } = statement
  const explained = await db.command({ explain: command, verbosity: 'executionStats' })
  const plans = valuesOf(explained, 'winningPlan')
  const runs = valuesOf(explained, 'executionStats')
  const stages = plans.flatMap(stagesOf)
  const pipeline: Document[] = explained.stages ?? []
  const examined = {
    returned: sumOf(runs, matchedOrReturned),
    documentsExamined: sumOf(runs, (run) => run.totalDocsExamined),
    keysExamined: sumOf(runs, (run) => run.totalKeysExamined),
    ranges: sumOf(stages, rangesOf),
    lookUps: sumOf(stages, (stage) => (hasUniqueBounds(stage) ? rangesOf(stage) : 0)),
  }
  return {
    name: nameOf(statement),
    stages: [
      ...stages.map(({ stage }) => stage),
      ...pipeline.flatMap((stage) => Object.keys(stage).filter((field) => field.startsWith('$'))),
    ],
    ...examined,
    text: textOf({ examined, command, plans }),
  }
}

const isDocument = (value: unknown): value is Document => typeof value === 'object' && value !== null

const sumOf = (documents: readonly Document[], count: (document: Document) => number): number =>
  documents.reduce((sum, document) => sum + count(document), 0)

/** Returns a value as text. The driver stores sort orders as maps. */
export const textOf = (value: unknown): string =>
  JSON.stringify(value, (_field, each) => (each instanceof Map ? Object.fromEntries(each) : each))

/** Returns the value of every field of that name, at any depth, except in rejected plans. */
function valuesOf(explained: unknown, name: string): Document[] {
  if (!isDocument(explained)) return []
  return Object.entries(explained).flatMap(([field, value]) => {
    if (field === name) return [value]
    return field === 'rejectedPlans' || field === 'command' ? [] : valuesOf(value, name)
  })
}

const stagesOf = (plan: unknown): Document[] =>
  isDocument(plan)
    ? [...(typeof plan.stage === 'string' ? [plan] : []), ...Object.values(plan).flatMap(stagesOf)]
    : []

function matchedOrReturned({ nReturned, executionStages }: Document): number {
  const writes = stagesOf(executionStages).filter(({ stage }) => ['UPDATE', 'DELETE'].includes(stage))
  if (writes.length === 0) return nReturned
  return sumOf(writes, ({ nMatched = 0, nWouldDelete = 0 }) => nMatched + nWouldDelete)
}

/** A stage that reads one `_id` directly has no bounds. */
const readsOneId = ({ stage }: Document): boolean => stage === 'IDHACK' || stage.startsWith('EXPRESS')

const boundsOf = ({ indexBounds = {} }: Document): string[][] => Object.values(indexBounds)

const rangesOf = (stage: Document): number => {
  if (readsOneId(stage)) return 1
  const bounds = boundsOf(stage)
  return bounds.length === 0 ? 0 : bounds.reduce((product, { length }) => product * length, 1)
}

const hasUniqueBounds = (stage: Document): boolean =>
  readsOneId(stage) ||
  (stage.isUnique === true &&
    boundsOf(stage)
      .flat()
      .every((bounds) => /^\[(.*), \1\]$/s.test(bounds)))

function nameOf(statement: SentCommand): string {
  const { name, collection, command } = statement
  const filters = name === 'aggregate' ? [command.pipeline[0]?.$match ?? {}] : filtersOf(statement)
  const fields = [...new Set(filters.flatMap(fieldsOf))].sort()
  const order = [...(command.sort instanceof Map ? command.sort : Object.entries(command.sort ?? {}))]
  const sorted = order.map(([field, way]) => (way === -1 ? `-${field}` : field))
  return [
    `${name} ${collection} by ${fields.join(', ') || 'nothing'}`,
    ...(sorted.length > 0 ? [`in order of ${sorted.join(', ')}`] : []),
    ...(command.skip > 0 ? ['with a skip'] : []),
  ].join(' ')
}

const fieldsOf = (filter: Document): string[] =>
  Object.entries(filter).flatMap(([field, value]) =>
    ['$and', '$or', '$nor'].includes(field) ? value.flatMap(fieldsOf) : [field],
  )
