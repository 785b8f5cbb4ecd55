// Writes the data of the MongoDB member on the same host to standard output, as a gzipped tar:
//
//   mongosh --nodb --quiet backup.js > backup.tgz
//
// The member writes nothing meanwhile (fsyncLock). Run the backup on the host of a secondary, where clients do not
// notice it. In a set of one member, writes wait for the seconds that reading the data takes. The backup has all
// databases as of the same moment. ROOT_PASSWORD(_FILE) is the same as for initiate.js. DATA is the data folder (default:
// /data/db). MOST_SECONDS (default: 120) limits the time, because a slow reader would hold the lock. If this
// process is killed, the lock remains: restart the member.
const { spawnSync } = require('node:child_process')
const { readFileSync } = require('node:fs')

const { ROOT_PASSWORD, ROOT_PASSWORD_FILE, DATA = '/data/db', MOST_SECONDS = '120' } = process.env
const password = ROOT_PASSWORD_FILE ? readFileSync(ROOT_PASSWORD_FILE, 'utf8').trim() : ROOT_PASSWORD
// The restored member makes these files itself.
const excluded = ['mongod.lock', 'diagnostic.data', '_tmp', '.mongodb'].map((name) => `--exclude=./${name}`)

const fail = (message) => {
  console.error(message)
  quit(1)
}
const admin = new Mongo(
  `mongodb://root:${encodeURIComponent(password)}@127.0.0.1:27017/?directConnection=true`,
).getDB('admin')
const { isWritablePrimary, hosts = [] } = admin.hello()
if (isWritablePrimary && hosts.length > 1) fail('this member is the primary: back up a secondary')

// All commands use this one connection, because a new connection could not authenticate while the member is locked.
admin.fsyncLock()
let copied
try {
  copied = spawnSync('tar', ['-C', DATA, ...excluded, '-cz', '.'], {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: Number(MOST_SECONDS) * 1_000,
    killSignal: 'SIGKILL',
  })
} finally {
  admin.fsyncUnlock()
}
if (copied.status !== 0)
  fail(`tar ended with ${copied.status ?? copied.error}: the output is not a usable backup`)
