import type { Call } from '#kernel/call.ts'
import type { Principal } from '#kernel/principal.ts'
import type { Representation } from './representation.ts'

/** The variables that middleware sets for handlers. */
export interface AppEnv {
  Variables: {
    call: Call
    /** Set by the auth guard alone. */
    principal: Principal
    /** Whether the request is a probe, which a monitor repeats every few seconds. */
    probe?: boolean
    /** The header fields of the answer, by lower-case names. Middleware adds its own. */
    headers: Record<string, string>
    /** Whether another process has made the answer, and has logged why the request failed. */
    isForwarded?: boolean
    /** The body of the answer, if it may be compressed. */
    compressible?: Representation
    /** An answer that already has the `headers` above. */
    response?: Response
  }
}
