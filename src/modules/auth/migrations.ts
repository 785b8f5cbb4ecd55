import { ensureCollection, type Migration } from '#kernel/mongo/migrations.ts'

/** The time counts from the last sign-in of the account from the network. */
const knownClientKeptForSeconds = 90 * 86_400

export const authMigrations: Migration[] = [
  {
    name: '001-unique-users',
    indexes: {
      users: [
        { key: { emailKey: 1 }, unique: true, name: 'email' },
        { key: { usernameKey: 1 }, unique: true, name: 'username' },
      ],
    },
  },
  {
    name: '002-admins',
    indexes: {
      users: [{ key: { role: 1, _id: 1 }, partialFilterExpression: { role: 'admin' }, name: 'admins' }],
    },
    up: (db) => ensureCollection(db, 'roleChanges'),
  },
  {
    name: '003-throttles',
    indexes: {
      throttles: [
        { key: { key: 1 }, unique: true, name: 'key' },
        { key: { expire: 1 }, expireAfterSeconds: 0, name: 'expiry' },
      ],
    },
  },
  {
    name: '004-known-clients',
    indexes: {
      knownClients: [
        { key: { signedInAt: 1 }, expireAfterSeconds: knownClientKeptForSeconds, name: 'expiry' },
      ],
    },
  },
  {
    name: '005-refresh-families',
    indexes: {
      refreshFamilies: [{ key: { expiresAt: 1 }, expireAfterSeconds: 0, name: 'expiry' }],
    },
  },
  {
    name: '006-admins-by-age',
    indexes: {
      users: [
        {
          key: { role: 1, createdAt: 1, _id: 1 },
          partialFilterExpression: { role: 'admin' },
          name: 'admins-by-age',
        },
      ],
    },
  },
]
