import { homedir } from 'node:os'
import { join } from 'node:path'

/** The folder in the user's cache for the tools that the tests of the contract install once. */
export const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'trivet')
