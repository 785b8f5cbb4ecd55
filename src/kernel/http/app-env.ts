import type { Call } from '#kernel/call.ts'
import type { Principal } from '#kernel/principal.ts'

/** What the middleware leaves for handlers: the principal behind the guard, everything else always. */
export interface AppEnv {
  Variables: {
    call: Call
    principal: Principal
    /** Whether the request is one of those that ask every few seconds how the process is. */
    probe?: boolean
    /** Of the answer, whatever it is; by lower-case names. Middleware adds its own here. */
    headers: Record<string, string>
    /** Whether another process has made the answer, and has logged why the request failed. */
    isForwarded?: boolean
    /** An answer that has them already. */
    response?: Response
  }
}
