// Generates the secrets of an installation, on Node.js 20 or later and without other packages:
//
//   node deploy/generate-secrets.mjs kubernetes | kubectl create -f -
//       new secrets each time, as Secrets of the namespace `trivet`. Use `create`, not `apply`: MongoDB keeps the passwords
//       of its first start, so existing Secrets must not change.
//   node deploy/generate-secrets.mjs compose FOLDER
//       for docker-compose.yml: one file per secret in FOLDER/all, generated once, and a folder per container with the
//       files that it needs.
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

// The ids of the users that read these files, in the images of Node.js and of MongoDB.
const nodeUser = 1000
const mongodbUser = 999

// Such a password needs no escaping in a URI, and is too long to be guessed.
const password = () => randomBytes(24).toString('base64url')

const signingKey = () => {
  const { x, d } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  return { kty: 'OKP', crv: 'Ed25519', kid: randomUUID(), x, d }
}

/** The services, each with its own user of MongoDB. A new module has its name here, and in mongodb/initiate.js. */
const services = ['auth', 'product', 'order']
const passwordNameOf = (user) => `${user.toUpperCase().replaceAll('-', '_')}_PASSWORD`

const generators = {
  KEY_FILE: () => randomBytes(756).toString('base64'),
  ROOT_PASSWORD: password,
  ...Object.fromEntries(services.map((name) => [passwordNameOf(name), password])),
  MONOLITH_PASSWORD: password,
  JWT_PRIVATE_KEYS: () => JSON.stringify([signingKey()]),
  INTERNAL_SECRET: () => randomBytes(32).toString('base64url'),
  ADMIN_PASSWORD: () => randomBytes(15).toString('base64url'),
}

/** The secrets of each container or Secret. */
function shares(all, hosts) {
  const uri = (user) => `mongodb://${user}:${all[passwordNameOf(user)]}@${hosts}/?replicaSet=trivet`
  const ofServices = Object.fromEntries(services.map((name) => [name, { MONGODB_URI: uri(name) }]))
  const { JWT_PRIVATE_KEYS, INTERNAL_SECRET, ADMIN_PASSWORD, ...mongodb } = all
  return {
    mongodb,
    monolith: { MONGODB_URI: uri('monolith') },
    ...ofServices,
    auth: { ...ofServices.auth, JWT_PRIVATE_KEYS, ADMIN_PASSWORD },
    internal: { INTERNAL_SECRET },
  }
}

/** Writes the file in one step, so that a process that waits for it never reads half of it. */
function writeSecret(path, value, owner) {
  writeFileSync(`${path}.new`, value, { mode: 0o400 })
  chownSync(`${path}.new`, owner, owner)
  renameSync(`${path}.new`, path)
}

function compose(folder) {
  // New secrets would not decrypt the existing data, and the copies are then the only remaining ones.
  if (existsSync(join(folder, 'mongodb', 'KEY_FILE')) && !existsSync(join(folder, 'all', 'KEY_FILE'))) {
    console.error(`${folder}/all is empty, but its secrets are in use: restore them from secrets.tgz`)
    process.exit(1)
  }
  mkdirSync(join(folder, 'all'), { recursive: true })
  const all = {}
  for (const [name, generate] of Object.entries(generators)) {
    const path = join(folder, 'all', name)
    if (!existsSync(path)) writeSecret(path, generate(), 0)
    // A file from an operator may end with a newline, which would become part of a URI.
    all[name] = readFileSync(path, 'utf8')
      .replace(/^\uFEFF/, '')
      .trimEnd()
  }
  const { mongodb, monolith, auth, internal, ...others } = shares(all, 'mongodb:27017')
  const { JWT_PRIVATE_KEYS, ADMIN_PASSWORD } = auth
  const { KEY_FILE, ...passwords } = mongodb
  const containers = {
    mongodb: { KEY_FILE, ROOT_PASSWORD: passwords.ROOT_PASSWORD },
    'mongodb-setup': passwords,
    monolith: { ...monolith, JWT_PRIVATE_KEYS, ADMIN_PASSWORD },
    auth,
    ...Object.fromEntries(
      Object.entries(others).map(([name, secrets]) => [name, { ...secrets, ...internal }]),
    ),
  }
  for (const [container, secrets] of Object.entries(containers)) {
    mkdirSync(join(folder, container), { recursive: true })
    const owner = container.startsWith('mongodb') ? mongodbUser : nodeUser
    for (const [name, value] of Object.entries(secrets))
      writeSecret(join(folder, container, name), value, owner)
  }
}

function kubernetes() {
  const all = Object.fromEntries(Object.entries(generators).map(([name, generate]) => [name, generate()]))
  const hosts = [0, 1, 2].map((number) => `mongodb-${number}.mongodb:27017`).join()
  const { mongodb, auth, ...others } = shares(all, hosts)
  const admin = { ADMIN_USERNAME: 'admin', ADMIN_EMAIL: 'admin@example.com' }
  const secret = (name, stringData) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'trivet' },
    stringData,
  })
  const items = [
    secret('mongodb', mongodb),
    secret('trivet-auth', { ...auth, ...admin }),
    ...Object.entries(others).map(([name, secrets]) => secret(`trivet-${name}`, secrets)),
  ]
  console.log(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, null, 2))
}

const [kind, folder] = process.argv.slice(2)
if (kind === 'kubernetes') kubernetes()
else if (kind === 'compose' && folder !== undefined) compose(folder)
else {
  console.error('usage: node deploy/generate-secrets.mjs kubernetes | compose FOLDER')
  process.exit(2)
}
