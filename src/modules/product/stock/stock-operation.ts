import type { HeldLine, Line } from '../contract.ts'
import type { NewProduct, Product, ProductContent } from '../product.ts'
import type { KeyedAnswer, LedgerEntry, ReservationRecord, StoredProduct } from './stock.ts'

/** An operation that changes stock: the documents that it needs, and its decision. */
export interface StockOperation<Result> {
  /** The queue limits the number of lines in a batch. */
  lineCount: number
  reads: {
    orderId?: string
    productIds?: readonly string[]
    answerId?: string | undefined
    /** An optimistic decision assumes that nothing is stored under `orderId` and `answerId`, and does not read them. */
    assumesNew?: boolean
    /**
     * What the operation takes from the products if there is enough, and nothing else. An operation that is alone in its batch may then
     * read and write a product with one command.
     */
    takes?: readonly Line[]
  }
  /**
   * Decides on the state that the earlier operations of the batch have left. It runs again after a write conflict, so that it
   * must change nothing outside the batch. If it throws, it must have changed nothing in the batch.
   * @throws DomainError the refusal of this operation, which does not affect the others
   */
  decide(batch: StockBatch): Result
}

/**
 * A batch as its operations see it. Each read returns what the earlier operations of the batch have left.
 * @throws CorruptDocument from each method that needs a corrupt document
 */
export interface StockBatch {
  /**
   * Finds a product for a decision that depends on its exact figures. The write then requires the version that was read.
   * @returns undefined if the product does not exist or is deleted
   */
  findProduct(productId: string): Product | undefined
  /** Finds a product as `findProduct` does, and marks its version as seen by a client: a later change needs a new one. */
  showProduct(productId: string): Product | undefined
  /**
   * Takes the stock of every line, or of none. The write requires the remaining stock to suffice, and the same name and price.
   * It does not require the same version, because other replicas may take and return stock meanwhile.
   * @returns the lines with name and price; undefined if a product is missing or has too little stock
   */
  takeStock(lines: readonly Line[]): HeldLine[] | undefined
  /** Returns the stock of every line. A deleted product gets its stock back too, because its books must balance. */
  returnStock(lines: readonly Line[]): void
  addProduct(product: NewProduct & { productId: string }): Product
  /** Changes the stock and the quantity that was put in by the same amount, and the content if it is given. */
  changeProduct(productId: string, stockChange: number, content?: Partial<ProductContent>): void
  addLedgerEntry(entry: LedgerEntry): void
  findReservation(orderId: string): ReservationRecord | undefined
  storeReservation(reservation: ReservationRecord): void
  findAnswer(answerId: string): KeyedAnswer | undefined
  storeAnswer(answerId: string, answer: KeyedAnswer): void
}

/** The stored documents that a batch is decided on. */
export interface StoredState {
  reservations: readonly ReservationRecord[]
  answers: readonly (KeyedAnswer & { id: string })[]
  products: readonly StoredProduct[]
  /** All product ids that were read, except those of corrupt documents. The products need not exist. */
  productIds: ReadonlySet<string>
  corruptIds: ReadonlySet<string>
}
