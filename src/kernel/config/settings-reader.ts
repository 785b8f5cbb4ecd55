import { z } from '@hono/zod-openapi'
import { validationMessage } from '#kernel/validation-messages.ts'
import { nonEmptyVariables, readSettingFile } from './environment.ts'

/** Reads settings from the environment, schema by schema, and collects every fault instead of stopping at the first. */
export interface SettingsReader {
  /**
   * Reads the variables of a schema. Each may be given as `<VARIABLE>_FILE`, the path of a file with its value: Docker
   * provides secrets like this.
   * @returns the valid settings alone if there are faults, so that later checks find further faults
   */
  read<Schema extends z.ZodObject>(schema: Schema): z.infer<Schema>
  /** Adds a schema's variables to the known ones, without reading them. */
  addKnown(schema: z.ZodObject): void
  /** Whether a variable is not set. A variable that is set and could not be read is not missing. */
  isMissing(variable: string): boolean
  /** The faults so far. Cross-checks add theirs. */
  readonly faults: string[]
  /** The names of all settings so far. */
  readonly known: ReadonlySet<string>
}

// Node.js puts this character in place of bytes that are not UTF-8.
const replacementCharacter = '\uFFFD'

export function createSettingsReader(environment: NodeJS.ProcessEnv): SettingsReader {
  const values: Record<string, string | undefined> = nonEmptyVariables(environment)
  const faults: string[] = []
  /** Variables that could not be read. Each has a fault already. */
  const unreadable = new Set<string>()
  // No schema has MONGOD_BINARY, because only the embedded MongoDB reads this variable.
  const known = new Set(['MONGOD_BINARY'])

  const addKnown = ({ shape }: z.ZodObject) => {
    for (const variable of Object.keys(shape)) known.add(variable)
  }

  const readFile = (variable: string) => {
    const path = values[`${variable}_FILE`]
    if (path === undefined) return
    if (values[variable] !== undefined) {
      faults.push(`${variable} and ${variable}_FILE are both set: set one of them`)
      return
    }
    // Several modules may share a variable, and its file must be read only once.
    delete values[`${variable}_FILE`]
    try {
      const value = readSettingFile(path)
      if (value !== '') values[variable] = value
    } catch (error) {
      unreadable.add(variable)
      faults.push(`${variable}_FILE ${(error as Error).message}`)
    }
  }

  const readVariable = (variable: string) => {
    readFile(variable)
    if (!values[variable]?.includes(replacementCharacter)) return
    delete values[variable]
    unreadable.add(variable)
    faults.push(`${variable} must be text in UTF-8`)
  }

  const addIssue = (issue: z.core.$ZodIssue) => {
    const variable = String(issue.path[0] ?? '')
    if (unreadable.has(variable)) return
    const isMissing = variable !== '' && values[variable] === undefined
    const message = isMissing && issue.code === 'invalid_type' ? 'is required' : issue.message
    faults.push(variable === '' ? message : `${variable} ${message}`)
  }

  return {
    read<Schema extends z.ZodObject>(schema: Schema): z.infer<Schema> {
      addKnown(schema)
      for (const variable of Object.keys(schema.shape)) readVariable(variable)
      const result = schema.safeParse(values, { error: validationMessage })
      if (result.success) return result.data
      result.error.issues.forEach(addIssue)
      // No process runs with this partial result, because `loadConfig` throws if there are faults.
      const valid = Object.entries(schema.shape).flatMap(([variable, setting]) => {
        const value = z.safeParse(setting, values[variable])
        return value.success ? [[variable, value.data]] : []
      })
      return Object.fromEntries(valid)
    },
    addKnown,
    isMissing: (variable) => values[variable] === undefined && !unreadable.has(variable),
    faults,
    known,
  }
}
