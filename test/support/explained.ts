import type { mongo } from 'mongoose'
import type { Db } from './collections.ts'
import { filtersOf, type SentCommand } from './recorded-commands.ts'

type Document = mongo.Document

/** What MongoDB does for one statement, and how much of it. */
export interface Plan {
  /** What it does where, by which fields and in which order: `find orders by userId in order of -createdAt`. */
  name: string
  /** With those of a pipeline, such as `$group`. */
  stages: string[]
  /** Documents that it returns or, of a write, is about. */
  returned: number
  documents: number
  keys: number
  /** Ranges of indexes that it goes through. */
  ranges: number
  /** Those of them that hold one document at most. */
  lookUps: number
  /** The statement and its plan, to be read. */
  text: string
}

const withPlan = ['find', 'aggregate', 'count', 'distinct', 'findAndModify', 'update', 'delete']
/** A getMore goes on with its find. */
const withoutPlan = ['insert', 'getMore']

const ofTheMoment = new Set([
  ...['lsid', 'txnNumber', 'startTransaction', 'autocommit', 'readConcern', 'writeConcern', 'maxTimeMS'],
  ...['$db', '$clusterTime', '$readPreference'],
])

/** What each has a plan for: a command writes with many statements at once. One about no collection has none. */
export function statementsOf({ name, collection, command, ...sent }: SentCommand): SentCommand[] {
  if (collection === '' || withoutPlan.includes(name)) return []
  if (!withPlan.includes(name)) throw new Error(`${name}: say here whether it has a plan`)
  const lasting = Object.fromEntries(Object.entries(command).filter(([field]) => !ofTheMoment.has(field)))
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
    returned: sumOf(runs, aboutHowMany),
    documents: sumOf(runs, (run) => run.totalDocsExamined),
    keys: sumOf(runs, (run) => run.totalKeysExamined),
    ranges: sumOf(stages, rangesOf),
    lookUps: sumOf(stages, (stage) => (isOfOneEach(stage) ? rangesOf(stage) : 0)),
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

/** The driver keeps orders as maps. */
export const textOf = (value: unknown): string =>
  JSON.stringify(value, (_field, each) => (each instanceof Map ? Object.fromEntries(each) : each))

/** Of every field of that name, however deep, but of plans that were not taken. */
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

function aboutHowMany({ nReturned, executionStages }: Document): number {
  const writes = stagesOf(executionStages).filter(({ stage }) => ['UPDATE', 'DELETE'].includes(stage))
  if (writes.length === 0) return nReturned
  return sumOf(writes, ({ nMatched = 0, nWouldDelete = 0 }) => nMatched + nWouldDelete)
}

/** Those that take a shortcut to one `_id` have no bounds. */
const isShortcut = ({ stage }: Document): boolean => stage === 'IDHACK' || stage.startsWith('EXPRESS')

const boundsOf = ({ indexBounds = {} }: Document): string[][] => Object.values(indexBounds)

const rangesOf = (stage: Document): number => {
  if (isShortcut(stage)) return 1
  const bounds = boundsOf(stage)
  return bounds.length === 0 ? 0 : bounds.reduce((product, { length }) => product * length, 1)
}

const isOfOneEach = (stage: Document): boolean =>
  isShortcut(stage) ||
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
  ].join(' ')
}

const fieldsOf = (filter: Document): string[] =>
  Object.entries(filter).flatMap(([field, value]) =>
    ['$and', '$or', '$nor'].includes(field) ? value.flatMap(fieldsOf) : [field],
  )
