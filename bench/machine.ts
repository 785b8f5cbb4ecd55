import { readFile, statfs } from 'node:fs/promises'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import type { BenchContext } from './context.ts'
import { wrkVersion } from './wrk.ts'

// The keys are the types that statfs(2) reports.
const fileSystemNames: Record<number, string> = {
  61267: 'ext4',
  1481003842: 'XFS',
  2435016766: 'Btrfs',
  16914836: 'tmpfs, which is in memory and never writes to a disk',
  2035054128: 'overlayfs',
}

/** Describes the machine in rows of a table. It contains no host name and no path. */
export async function describeMachine(context: BenchContext): Promise<string[][]> {
  const { version } = await context.client.db('admin').command({ buildInfo: 1 })
  const { type: magic } = await statfs(context.folder)
  return [
    ['CPU', `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores`],
    ['memory', `${(totalmem() / 2 ** 30).toFixed(0)} GiB`],
    [
      'file system of the database',
      context.embedded ? (fileSystemNames[magic] ?? 'unknown') : 'that of the given MongoDB',
    ],
    // The kernel's version without the suffix of the distribution or host.
    ['system', `${await distributionName()}, kernel ${release().match(/^[\d.]+/)?.[0] ?? ''}`],
    ['Node.js', process.versions.node],
    [
      'MongoDB',
      `${version}, a replica set ${context.embedded ? 'of one, with a cache of 0.5 GB' : ''}`.trim(),
    ],
    ['wrk', wrkVersion() ?? ''],
  ]
}

async function distributionName(): Promise<string> {
  const os = await readFile('/etc/os-release', 'utf8').catch(() => '')
  return os.match(/^PRETTY_NAME="?([^"\n]+)/m)?.[1] ?? type()
}
