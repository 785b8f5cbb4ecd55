import type { HeldLine, Line } from '../contract.ts'
import type { ContentChange, Product } from '../product.ts'
import type {
  KeyedAnswer,
  LedgerEntry,
  ProductChange,
  ReservationRecord,
  StockChanges,
  StoredProduct,
} from './stock.ts'

/** What a turn is decided on. */
export interface Facts {
  reservations: readonly ReservationRecord[]
  answers: readonly (KeyedAnswer & { id: string })[]
  products: readonly StoredProduct[]
  /** All that were looked for, whether they exist or not, but for those that are spoilt. */
  productIds: ReadonlySet<string>
  /** Ids of documents that are not stored as they should be. */
  spoilt: ReadonlySet<string>
}

/** What is thrown at a move that needs a document which is not stored as it should be. */
export class Spoilt extends Error {}

/** A product while a turn is decided. */
interface Account extends ProductChange {
  readonly base: StoredProduct
  now: StoredProduct
  isShown: boolean
}

/** A turn, as the moves in it see it. */
export type StockTurn = Omit<ReturnType<typeof createTurn>, 'isProvenByWriting' | 'products' | 'changes'>

/** The accounts of one turn: what its moves have made of what it is decided on, for `write` to store all at once. */
export function createTurn(facts: Facts) {
  const at = new Date()
  const accounts = new Map<string, Account>()
  for (const product of facts.products) {
    accounts.set(product.productId, {
      base: product,
      now: product,
      stocked: 0,
      lowest: 0,
      isShown: true,
      isTaken: false,
      isExact: false,
    })
  }
  const reservations = new Map(facts.reservations.map((record) => [record.orderId, record]))
  const askedReservations = new Set<string>()
  const changedReservations = new Set<string>()
  const answers = new Map(facts.answers.map(({ id, ...answer }) => [id, answer]))
  const askedAnswers = new Set<string>()
  const newAnswers: (KeyedAnswer & { id: string })[] = []
  const newProducts: Product[] = []
  const entries: LedgerEntry[] = []

  /** @throws Spoilt */
  const checkWhole = (what: string, ...ids: readonly string[]): void => {
    const id = ids.find((each) => facts.spoilt.has(each))
    if (id !== undefined)
      throw new Spoilt(`${what} ${id} is not stored as it should be: npm run audit says more`)
  }

  const move = (productId: string, change: number, content: ContentChange = {}): Account | undefined => {
    const account = accounts.get(productId)
    if (!account) return undefined
    const { now, isShown } = account
    const version = isShown ? now.version + 1 : now.version
    const contentVersion = Object.keys(content).length > 0 ? version : now.contentVersion
    const updatedAt = now.updatedAt > at ? now.updatedAt : at
    account.now = { ...now, ...content, stock: now.stock + change, version, contentVersion, updatedAt }
    account.lowest = Math.min(account.lowest, account.now.stock - account.base.stock)
    account.isShown = false
    return account
  }

  const product = (productId: string): Product | undefined => {
    checkWhole('product', productId)
    const account = accounts.get(productId)
    if (account) account.isExact = true
    return account?.now.deleted ? undefined : account?.now
  }

  return {
    /** A product that is there and not deleted, as those before have left it, to decide on: it must be exactly so. */
    product,

    /** The same, for somebody to see: whatever comes after is a new version. */
    show(productId: string): Product | undefined {
      const account = accounts.get(productId)
      if (account) account.isShown = true
      return product(productId)
    },

    reservation(orderId: string): ReservationRecord | undefined {
      checkWhole('the reservation of order', orderId)
      askedReservations.add(orderId)
      return reservations.get(orderId)
    },

    keep(record: ReservationRecord): void {
      reservations.set(record.orderId, record)
      changedReservations.add(record.orderId)
    },

    /**
     * Takes all of it, if it is there, or nothing: whatever else others take or give back, as long as that much is left.
     * @returns the lines, each with its product's name and price
     */
    take(lines: readonly Line[]): HeldLine[] | undefined {
      checkWhole('product', ...lines.map(({ productId }) => productId))
      const held: HeldLine[] = []
      for (const line of lines) {
        const account = accounts.get(line.productId)
        if (!account || account.now.deleted || line.quantity > account.now.stock) return undefined
        const { name, price } = account.now
        held.push({ ...line, name, price })
      }
      for (const { productId, quantity } of lines) {
        const account = move(productId, -quantity)
        if (account) account.isTaken = true
      }
      return held
    },

    /** Never refused: deleted products get theirs back too, or their books would not balance. */
    giveBack(lines: readonly Line[]): void {
      checkWhole('product', ...lines.map(({ productId }) => productId))
      for (const { productId, quantity } of lines) move(productId, quantity)
    },

    add(product: Omit<Product, 'version' | 'contentVersion' | 'createdAt' | 'updatedAt'>): Product {
      const added = { ...product, version: 1, contentVersion: 1, createdAt: at, updatedAt: at }
      newProducts.push(added)
      return added
    },

    /** Moves what was put in by as much as the stock, and changes the content along. */
    restock(productId: string, change: number, content?: ContentChange): void {
      const account = move(productId, change, content)
      if (account) account.stocked += change
    },

    record(entry: LedgerEntry): void {
      entries.push(entry)
    },

    /** The first answer to a keyed stock change. */
    answer(answerId: string): KeyedAnswer | undefined {
      checkWhole('the answer', answerId)
      askedAnswers.add(answerId)
      return answers.get(answerId)
    },

    keepAnswer(answerId: string, answer: KeyedAnswer): void {
      answers.set(answerId, answer)
      newAnswers.push({ id: answerId, ...answer })
    },

    /** Whether nothing was decided on but what the writes themselves have as their conditions. */
    isProvenByWriting(): boolean {
      return (
        [...askedAnswers].every((answerId) => newAnswers.some(({ id }) => id === answerId)) &&
        [...askedReservations].every((orderId) => changedReservations.has(orderId)) &&
        [...facts.productIds].every((productId) => {
          const account = accounts.get(productId)
          return account !== undefined && account.base !== account.now
        })
      )
    },

    /** Those that were looked at, as they are afterwards. */
    products: (): StoredProduct[] => [...accounts.values()].map(({ now }) => now),

    /** What is to be stored, all of it or nothing. */
    changes(): StockChanges {
      const before = new Set(facts.reservations.map(({ orderId }) => orderId))
      const changed = [...changedReservations].map(
        (orderId) => reservations.get(orderId) as ReservationRecord,
      )
      return {
        at,
        products: [...accounts.values()].filter(({ base, now }) => base !== now),
        newProducts,
        newReservations: changed.filter(({ orderId }) => !before.has(orderId)),
        releasedOrderIds: changed.map(({ orderId }) => orderId).filter((orderId) => before.has(orderId)),
        entries,
        newAnswers,
      }
    },
  }
}
