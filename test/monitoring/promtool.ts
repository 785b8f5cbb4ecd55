import { spawnSync } from 'node:child_process'

/** The reason why the tests with promtool do not run on this machine. Undefined if they do. */
export const noPromtool: string | undefined =
  spawnSync('promtool', ['--version']).status === 0
    ? undefined
    : 'promtool is not installed (it is in the package prometheus of Debian)'
