import { readFile, statfs } from 'node:fs/promises'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import type { Stage } from './stage.ts'
import { wrkVersion } from './wrk.ts'

// What statfs(2) calls them.
const fileSystems: Record<number, string> = {
  61267: 'ext4',
  1481003842: 'XFS',
  2435016766: 'Btrfs',
  16914836: 'tmpfs, which is memory: nothing is ever written to a disk',
  2035054128: 'overlayfs',
}

/** What the numbers were measured on, as rows of a table. Names no host and no path. */
export async function describeMachine(stage: Stage): Promise<string[][]> {
  const { version } = await stage.client.db('admin').command({ buildInfo: 1 })
  const { type: magic } = await statfs(stage.folder)
  return [
    ['CPU', `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores`],
    ['memory', `${(totalmem() / 2 ** 30).toFixed(0)} GiB`],
    [
      'file system of the database',
      stage.embedded ? (fileSystems[magic] ?? 'unknown') : 'the given MongoDB’s',
    ],
    // Without what a distribution or a host adds to the kernel's version.
    ['system', `${await distribution()}, kernel ${release().match(/^[\d.]+/)?.[0] ?? ''}`],
    ['Node.js', process.versions.node],
    ['MongoDB', `${version}, a replica set ${stage.embedded ? 'of one, with a cache of 0.5 GB' : ''}`.trim()],
    ['wrk', wrkVersion() ?? ''],
  ]
}

/** As Linux distributions say it themselves. */
async function distribution(): Promise<string> {
  const os = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return os.match(/^PRETTY_NAME="?([^"\n]+)/m)?.[1] ?? type()
}
