import type { ErrorCode } from '#kernel/errors.ts'
import type { Account, Client } from './client.ts'

/** Two customers and an admin. */
export interface People {
  ada: Account
  grace: Account
  boss: Account
}

export interface ValidRequest {
  path: string
  body?: Record<string, unknown>
}

export type MakeRequest = (
  shop: Client,
  people: People,
  caller: Account,
) => ValidRequest | Promise<ValidRequest>

/** The status of an answer that grants access, or the problem code of one that refuses it. */
export type Outcome = number | ErrorCode

export const callers = ['anonymous', 'owner', 'another customer', 'admin', 'service credential'] as const
export type Caller = (typeof callers)[number]
export type Access = Record<Caller, Outcome>

export const toAnyone = (status: number): Access => ({
  anonymous: status,
  owner: status,
  'another customer': status,
  admin: status,
  'service credential': status,
})
export const toUsers = (status: number): Access => ({
  ...toAnyone(status),
  anonymous: 'unauthenticated',
  'service credential': 'invalid_token',
})
export const toAdmins = (status: number): Access => ({
  ...toUsers(status),
  owner: 'forbidden',
  'another customer': 'forbidden',
})
/** @param notFound the problem that hides the resource from other customers */
export const toOwnerAndAdmins = (status: number, notFound: ErrorCode): Access => ({
  ...toUsers(status),
  'another customer': notFound,
})

/** The fields of the shard key of a collection. */
export type ShardKey = Record<string, 1 | 'hashed'>

/**
 * What the tests that go through all routes need to know of the routes of one module. The keys of `requests` and `access` are the
 * operations, such as `GET /orders/{id}`.
 */
export interface RouteTests {
  /** A valid request. Its resources are created first, so that a refusal is only due to the caller. They belong to Ada. */
  requests: Record<string, MakeRequest>
  /** The outcome for each caller. Ada is the owner. */
  access: Record<string, Access>
  /**
   * The commands that a sharded cluster would send to every shard, as `find orders`, by the operation, or by the operation with
   * `, by an admin`. All other commands of a request go to one shard.
   */
  scatters: Record<string, string[]>
  /** The shard key of each collection of the module. */
  shardKeys: Record<string, ShardKey>
}
