import { DomainError } from '#kernel/errors.ts'
import { checkPreconditions, type Preconditions } from '#kernel/http/preconditions.ts'
import { type NewProduct, type Product, type ProductContent, productResponse } from './product.ts'

/** The fields to change, and the version that the change is based on. */
export interface ProductUpdate extends Partial<NewProduct>, Preconditions {
  version?: number | undefined
}

/** @throws DomainError `precondition_required` if the update names no version */
export function requireVersion({ version, ifMatch }: ProductUpdate): void {
  if (version !== undefined || ifMatch !== undefined) return
  throw new DomainError(
    'precondition_required',
    'version: send the version that you read, or an If-Match header',
  )
}

/**
 * Checks whether an update is based on the current product. If-Match names the exact version. A `version` in the body is stale
 * once the content has changed. If the update sets the stock, `version` is stale after any change, so that the update never
 * overwrites a reservation.
 * @throws DomainError `precondition_failed`, `precondition_required` or `version_conflict`
 */
export function checkBase(current: Product, update: ProductUpdate, currency: string): void {
  checkPreconditions(update, current.version)
  requireVersion(update)
  const { version, stock } = update
  if (version === undefined) return
  const oldestAccepted = stock === undefined ? current.contentVersion : current.version
  if (version < oldestAccepted || version > current.version) {
    throw new DomainError(
      'version_conflict',
      `version: ${version} is not current; read the product again and repeat the change with version ${current.version}`,
      { currentVersion: current.version, current: productResponse(current, currency) },
    )
  }
}

/** The fields of the content that an update changes. */
export const contentChanges = (current: Product, update: ProductUpdate): Partial<ProductContent> =>
  Object.fromEntries(
    (['name', 'description', 'price'] as const)
      .filter((field) => update[field] !== undefined && update[field] !== current[field])
      .map((field) => [field, update[field]]),
  )

export const productNotFound = (productId: string): DomainError =>
  new DomainError('product_not_found', `there is no product ${productId}`)
