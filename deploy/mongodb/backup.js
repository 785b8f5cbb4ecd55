// Writes the data of the member that it runs beside to standard output, as a gzipped tar:
//
//   mongosh --nodb --quiet backup.js > backup.tgz
//
// For as long as that takes the member writes nothing (fsyncLock): run it beside a secondary, of which nobody notices. Of a
// set of one member writes wait meanwhile, for so many seconds as its data takes to be read. All databases are of the same
// moment. ROOT_PASSWORD(_FILE) is that of initiate.js; DATA is where the data is, /data/db unless set; MOST_SECONDS, 120
// unless set, is how long it may take, since a reader that is slow would hold the lock. If this process is killed, nobody is
// left to take the lock away: restart the member then.
const { spawnSync } = require('node:child_process')
const { readFileSync } = require('node:fs')

const { ROOT_PASSWORD, ROOT_PASSWORD_FILE, DATA = '/data/db', MOST_SECONDS = '120' } = process.env
const password = ROOT_PASSWORD_FILE ? readFileSync(ROOT_PASSWORD_FILE, 'utf8').trim() : ROOT_PASSWORD
// What a running member has for itself alone.
const left = ['mongod.lock', 'diagnostic.data', '_tmp', '.mongodb'].map((name) => `--exclude=./${name}`)

const fail = (message) => {
  console.error(message)
  quit(1)
}
const admin = new Mongo(
  `mongodb://root:${encodeURIComponent(password)}@127.0.0.1:27017/?directConnection=true`,
).getDB('admin')
const { isWritablePrimary, hosts = [] } = admin.hello()
if (isWritablePrimary && hosts.length > 1) fail('this member is the primary: back up a secondary')

// On this one connection: a new one could not sign in while nothing is written.
admin.fsyncLock()
let copied
try {
  copied = spawnSync('tar', ['-C', DATA, ...left, '-cz', '.'], {
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: Number(MOST_SECONDS) * 1_000,
    killSignal: 'SIGKILL',
  })
} finally {
  admin.fsyncUnlock()
}
if (copied.status !== 0) fail(`tar ended with ${copied.status ?? copied.error}: this is no backup`)
