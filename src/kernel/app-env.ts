import type { Call } from './call.ts'
import type { Principal } from './principal.ts'

/** What the middleware leaves for handlers: the principal behind the guard, everything else always. */
export interface AppEnv {
  Variables: {
    call: Call
    principal: Principal
    /** Of the answer, whatever it is; by lower-case names. Middleware adds its own here. */
    headers: Record<string, string>
    /** An answer that has them already. */
    response?: Response
  }
}
