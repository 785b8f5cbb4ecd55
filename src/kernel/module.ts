import type { OpenAPIHono, RouteConfig, z } from '@hono/zod-openapi'
import type { Config } from '#kernel/config/load-config.ts'
import type { AppEnv } from '#kernel/http/app-env.ts'
import type { ProblemTable } from '#kernel/http/problems.ts'
import type { Database } from '#kernel/mongo/database.ts'
import type { Migration } from '#kernel/mongo/migrations.ts'
import type { HttpClient } from '#kernel/ports/http-client.ts'
import type { Offer, Port } from '#kernel/ports/port.ts'
import type { Audit } from './audit.ts'
import type { Call } from './call.ts'
import type { Command } from './command.ts'
import type { DomainError } from './errors.ts'
import type { Job } from './jobs.ts'
import type { Logger } from './logger.ts'
import type { Metrics } from './metrics.ts'

/** A line that an operator sees when the process is ready. */
export type BannerFact = readonly [label: string, text: string]

/** What a module gets from the process that hosts it. */
export interface ModuleContext<Needs, Settings> {
  /** The database of this module. A module has no access to other databases. */
  database: Database
  /** The port of each needed module: the module itself if this process hosts it, or else an HTTP client. */
  needs: Needs
  /** `Offer.refusal` of each needed module. */
  refusals: { readonly [Name in keyof Needs]: () => DomainError | undefined }
  settings: Settings
  config: Pick<Config, 'issuer' | 'dataDir' | 'demo' | 'currency' | 'requestTimeoutMs' | 'trustedProxies'>
  logger: Logger
  metrics: Metrics
}

/** A started module. It does not use the database before `prepare`. */
export interface StartedModule<PortType = unknown, Operations = unknown> {
  routes: OpenAPIHono<AppEnv>
  /** The operations that other modules call in the same process. */
  port?: PortType
  /** `Offer.refusal` of the port. Without it, the module never refuses a call. */
  refusal?: Offer<PortType>['refusal']
  /** The routes under `/internal` for modules in other processes. They require the service credential. */
  internal?: OpenAPIHono<AppEnv>
  /**
   * Creates what must exist before the first request, such as an account or demo data. It runs at every boot, after the
   * migrations and under the same lease, so that it creates only what is missing.
   */
  prepare?(call: Call): Promise<void>
  /** Returns what the operator should see. It runs at every boot, once the process is ready. */
  bannerFacts?(call: Call): Promise<BannerFact[]>
  /** Periodic work, from when the process is ready until it drains. */
  jobs?: readonly Job[]
  /** Checks that the module's data is consistent. */
  audit?: Audit
  /** The functions that the module's commands call. */
  operations?: Operations
}

export interface Module<Needs, SettingsShape extends z.ZodRawShape, PortType, Operations> {
  /**
   * In lower case. The name is part of the database's name, a value of `SERVICE` and, in upper case, the start of the
   * `_URL` variable.
   */
  name: string
  /** The descriptions of all public routes. Every process serves them in /openapi.json, whether it hosts the module or not. */
  api: Readonly<Record<string, RouteConfig>>
  /**
   * The routes that are admitted however many requests arrive: those that finish something, such as a cancellation, those that
   * have a queue of their own, and those that other services call.
   */
  alwaysAdmitted?: readonly RouteConfig[]
  /** The error codes of this module. Two modules must not have the same code. */
  problems?: ProblemTable
  /** The module's own environment variables. */
  settings?(mode: { production: boolean }): z.ZodObject<SettingsShape>
  /** Names that other programs use for the module's settings, by setting. The boot warns about them. */
  misnamedSettings?: Readonly<Record<string, readonly string[]>>
  /** The commands of `npm run admin`. */
  commands?: readonly Command<Operations>[]
  /**
   * Indexes and schema changes, in order. Each runs once per database. Old and new replicas must work with the result.
   */
  migrations: readonly Migration[]
  /** The ports that the module calls, by module name. */
  needs: { readonly [Name in keyof Needs]: Port<Needs[Name]> }
  start(
    context: ModuleContext<Needs, z.infer<z.ZodObject<SettingsShape>>>,
  ): StartedModule<PortType, Operations> | Promise<StartedModule<PortType, Operations>>
  /** Creates a client of the module over HTTP. */
  connect?(http: HttpClient): Offer<PortType>
}

/** A module without the types of its needs, settings, port and operations. */
export interface AnyModule {
  name: string
  api: Readonly<Record<string, RouteConfig>>
  alwaysAdmitted?: readonly RouteConfig[]
  problems?: ProblemTable
  settings?(mode: { production: boolean }): z.ZodObject<z.ZodRawShape>
  misnamedSettings?: Readonly<Record<string, readonly string[]>>
  commands?: readonly Command[]
  migrations: readonly Migration[]
  needs: Readonly<Record<string, Port<unknown>>>
  start(context: ModuleContext<Record<string, unknown>, unknown>): StartedModule | Promise<StartedModule>
  connect?(http: HttpClient): Offer<unknown>
}

/** Lets the compiler check the parts of a module against each other. */
export function defineModule<
  Needs = Record<never, never>,
  SettingsShape extends z.ZodRawShape = Record<never, never>,
  PortType = undefined,
  Operations = undefined,
>(module: Module<Needs, SettingsShape, PortType, Operations>): AnyModule {
  refuseRepeatedMigrations(module)
  return module as unknown as AnyModule
}

/** A second migration with the name of an earlier one would never run on a database that has the record of the earlier one. */
function refuseRepeatedMigrations({ name, migrations }: Pick<AnyModule, 'name' | 'migrations'>): void {
  const names = migrations.map((migration) => migration.name)
  const repeated = names.find((each, at) => names.indexOf(each) !== at)
  if (repeated !== undefined)
    throw new Error(`two migrations of ${name} have the name ${repeated}: each must have its own`)
}
