import type { Json } from '#test/support/client.ts'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'

/** The statuses that any request, or any request with a body, can get. Each must occur for one operation at least. */
const ofEveryRoute = ['400', '408', '413', '415', '431', '500', '503']

/**
 * Compares the statuses that an OpenAPI document describes with those that occurred in tests.
 * @param answers lines with a status, a method and a path
 * @returns a sentence for each status that occurred without description, and for each that never occurred
 */
export function compareStatuses(document: Json, answers: readonly string[]): string[] {
  const operations = operationsOf(document)
  const occurred = new Map(operations.map((operation) => [operation, new Set<string>()]))
  for (const answer of answers) {
    const [status = '', method = '', path = ''] = answer.split(' ')
    const operation = operationFor(operations, method, path)
    if (operation) occurred.get(operation)?.add(status)
  }
  return [...occurred].flatMap(([{ name, responses }, statuses]) => [
    ...[...statuses]
      .filter((status) => !(status in responses))
      .map((status) => `${name} was answered with ${status}, which the document does not describe`),
    ...Object.keys(responses)
      .filter((status) => status !== 'default' && !statuses.has(status))
      .filter((status) => !ofEveryRoute.includes(status) || !someHas(occurred, status))
      .map((status) => `no test gets the status ${status} of ${name}, which the document describes`),
  ])
}

const someHas = (occurred: Map<Operation, Set<string>>, status: string) =>
  [...occurred.values()].some((statuses) => statuses.has(status))

/** Finds the operation of a path. A path without parameters goes before one with parameters, whatever its methods are. */
function operationFor(operations: readonly Operation[], method: string, path: string) {
  const plain = path.replace(/(?<=.)\/$/, '')
  const exact = operations.filter((operation) => operation.path === plain)
  const ofPath = exact.length > 0 ? exact : operations.filter((operation) => matches(operation.path, plain))
  return ofPath.find((operation) => operation.method === (method === 'HEAD' ? 'GET' : method))
}

const matches = (template: string, path: string) =>
  new RegExp(`^${template.replace(/[.]/g, '\\$&').replace(/\{\w+\}/g, '[^/]+')}$`).test(path)
