// Creates a replica set of new mongods, and its users. In an existing set it adds the missing members and users:
//
//   mongosh --nodb --quiet initiate.js
//
// It runs in the network of the first member, because until a user exists MongoDB accepts connections without a
// password only from localhost.
//
//   MEMBERS            host:port of all members, separated by commas; the first is the one in this network
//   ROOT_PASSWORD      the password of `root`, which has all rights
//   <USER>_PASSWORD    the password of a service (`AUTH_PASSWORD`), for its own database, or of `monolith`, for all
//   MONGODB_DATABASE   the prefix of the database names: `trivet`
//
// The script creates each user whose password is given. A password can be given as the path of a file
// (<USER>_PASSWORD_FILE). An existing user gets the new password, except `root`, which keeps its first password:
// ROOT_PASSWORD must be that one.
const { readFileSync } = require('node:fs')

const replicaSet = 'trivet'
const databases = ['auth', 'product', 'order']
// Each service has its own database, and the monolith has all of them.
const users = { ...Object.fromEntries(databases.map((name) => [name, [name]])), monolith: databases }
const prefix = process.env.MONGODB_DATABASE || replicaSet
const members = (process.env.MEMBERS || '').split(',').filter((member) => member !== '')
const [first, ...others] = members

// After this time the process ends with an error, and compose or Kubernetes starts it again.
const limitMs = 300_000
const pauseMs = 1_000

// Error codes of MongoDB.
const unauthorized = 13
const authenticationFailed = 18
const alreadyInitialized = 23

function passwordOf(user) {
  const variable = `${user.toUpperCase().replaceAll('-', '_')}_PASSWORD`
  const path = process.env[`${variable}_FILE`]
  return path ? readFileSync(path, 'utf8').trim() : process.env[variable]
}

/** Repeats `attempt` until it returns a value. From the second attempt on, a message says what the script waits for. */
function wait(what, attempt) {
  const end = Date.now() + limitMs
  let isReported = false
  for (;;) {
    let reason = ''
    try {
      const result = attempt()
      if (result) return result
    } catch (error) {
      if (error.fatal) throw error
      reason = `: ${error.message}`
    }
    if (Date.now() > end) throw new Error(`gave up waiting for ${what}${reason}`)
    if (!isReported) print(`waiting for ${what}${reason}`)
    isReported = true
    sleep(pauseMs)
  }
}

function fatal(message) {
  return Object.assign(new Error(message), { fatal: true })
}

const timeouts = 'serverSelectionTimeoutMS=3000&connectTimeoutMS=3000'

/** Connects to one member in any state, without a user. */
const connectTo = (host) => new Mongo(`mongodb://${host}/?directConnection=true&${timeouts}`).getDB('admin')

/** Connects to the current primary. */
function connectAsRoot() {
  const credentials = `root:${encodeURIComponent(rootPassword)}`
  return new Mongo(`mongodb://${credentials}@${members.join()}/?replicaSet=${replicaSet}&${timeouts}`).getDB(
    'admin',
  )
}

function initiate(local) {
  // Waits for all members: one that has lost its data must copy it from the others, and must not initiate a
  // second set of the same name.
  for (const member of others) {
    const set = wait(`${member} to answer`, () => connectTo(member).hello()).setName
    if (set === undefined) continue
    print(`${member} is already in the set, which will add ${first}`)
    return
  }
  print(`initiating the replica set with ${first}`)
  try {
    local.adminCommand({
      replSetInitiate: { _id: replicaSet, members: [{ _id: 0, host: first }] },
    })
  } catch (error) {
    if (error.code !== alreadyInitialized) throw error
  }
}

/** Signs in as `root`, and creates this user if there is no user. */
function signIn(local) {
  return wait('the primary', () => {
    try {
      const admin = connectAsRoot()
      return admin.hello().isWritablePrimary && admin
    } catch (error) {
      if (error.code !== authenticationFailed || !local.hello().isWritablePrimary) throw error
    }
    try {
      local.createUser({ user: 'root', pwd: rootPassword, roles: ['root'] })
    } catch (error) {
      if (error.code !== unauthorized) throw error
      throw fatal('MongoDB has users already, and the password of root is not ROOT_PASSWORD')
    }
    print('created the user root')
    return connectAsRoot()
  })
}

function createUser(admin, user) {
  const pwd = passwordOf(user)
  if (!pwd) return
  const roles = users[user].flatMap((name) => {
    const db = `${prefix}_${name}`
    // dbAdmin: migrations create indexes, and RETENTION is changed with collMod.
    return [
      { role: 'readWrite', db },
      { role: 'dbAdmin', db },
    ]
  })
  if (admin.getUser(user)) admin.updateUser(user, { pwd, roles })
  else {
    admin.createUser({ user, pwd, roles })
    print(`created the user ${user}`)
  }
}

/** Adds one member. MongoDB accepts the next change only after a majority has this one. */
function addMember(admin, host) {
  wait(`${host} to be a member`, () => {
    const { config } = admin.adminCommand({ replSetGetConfig: 1 })
    const _id = Math.max(...config.members.map((member) => member._id)) + 1
    const added = { ...config, version: config.version + 1, members: [...config.members, { _id, host }] }
    admin.adminCommand({ replSetReconfig: added })
    print(`added ${host}`)
    return true
  })
}

/** A new member has no vote before it has the data, and until then the set does not survive the loss of a member. */
function waitForVotes(admin) {
  wait('every member to have the data and a vote', () => {
    const { members: states, votingMembersCount } = admin.adminCommand({ replSetGetStatus: 1 })
    const healthy = states.every(({ stateStr }) => ['PRIMARY', 'SECONDARY'].includes(stateStr))
    return healthy && votingMembersCount === states.length
  })
}

const rootPassword = passwordOf('root')
try {
  if (first === undefined) throw new Error('MEMBERS is empty')
  if (!rootPassword) throw new Error('ROOT_PASSWORD is empty')
  const local = wait(`${first} to start`, () => {
    const admin = connectTo(`127.0.0.1:${first.split(':')[1] || 27017}`)
    return admin.hello().ok && admin
  })
  if (local.hello().setName === undefined) initiate(local)
  const admin = signIn(local)
  for (const user of Object.keys(users)) createUser(admin, user)
  const { config } = admin.adminCommand({ replSetGetConfig: 1 })
  const missing = members.filter((host) => config.members.every((member) => member.host !== host))
  for (const host of missing) addMember(admin, host)
  if (missing.length > 0) waitForVotes(admin)
  print(`the replica set ${replicaSet} is ready: ${members.join(', ')}`)
} catch (error) {
  print(error.message)
  quit(1)
}
