import { ensureCollection, type Migration } from '../../kernel/migrations.ts'

// Seconds after the last sign-in from there.
const knownClientKeptFor = 90 * 86_400

export const authMigrations: Migration[] = [
  {
    name: '001-unique-users',
    async up(db) {
      await db.collection('users').createIndexes([
        { key: { emailKey: 1 }, unique: true, name: 'email' },
        { key: { usernameKey: 1 }, unique: true, name: 'username' },
      ])
    },
  },
  {
    name: '002-admins',
    async up(db) {
      await ensureCollection(db, 'roleChanges')
      await db
        .collection('users')
        .createIndexes([
          { key: { role: 1, _id: 1 }, partialFilterExpression: { role: 'admin' }, name: 'admins' },
        ])
    },
  },
  {
    name: '003-throttles',
    async up(db) {
      await db.collection('throttles').createIndexes([
        { key: { key: 1 }, unique: true, name: 'key' },
        { key: { expire: 1 }, expireAfterSeconds: 0, name: 'expiry' },
      ])
    },
  },
  {
    name: '004-known-clients',
    async up(db) {
      await db
        .collection('knownClients')
        .createIndexes([{ key: { signedInAt: 1 }, expireAfterSeconds: knownClientKeptFor, name: 'expiry' }])
    },
  },
  {
    name: '005-refresh-families',
    async up(db) {
      await db
        .collection('refreshFamilies')
        .createIndexes([{ key: { expiresAt: 1 }, expireAfterSeconds: 0, name: 'expiry' }])
    },
  },
  {
    name: '006-admins-by-age',
    async up(db) {
      await db.collection('users').createIndexes([
        {
          key: { role: 1, createdAt: 1, _id: 1 },
          partialFilterExpression: { role: 'admin' },
          name: 'admins-by-age',
        },
      ])
    },
  },
]
