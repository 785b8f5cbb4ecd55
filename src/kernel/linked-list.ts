/** A place in a list: what takes its value out again. */
export interface Place<Value> {
  readonly value: Value
  before: Place<Value> | undefined
  after: Place<Value> | undefined
}

/**
 * What waits, in the order it came, for as long as it does: adding, and taking out from anywhere, are O(1).
 *
 * Not a `Set`, for what comes and goes with every request: V8 leaves the table of one behind whenever it has had as many
 * values as it has room for. Such tables grow old, each leads to the next, and each keeps what was in it, so that half of
 * all that requests leave behind outlives them.
 */
export class LinkedList<Value> {
  size = 0
  #first: Place<Value> | undefined
  #last: Place<Value> | undefined

  add(value: Value): Place<Value> {
    const place: Place<Value> = { value, before: this.#last, after: undefined }
    if (this.#last) this.#last.after = place
    else this.#first = place
    this.#last = place
    this.size += 1
    return place
  }

  /** Only once for each place. */
  remove(place: Place<Value>): void {
    const { before, after } = place
    if (before) before.after = after
    else this.#first = after
    if (after) after.before = before
    else this.#last = before
    // What is gone must not keep what is still here.
    place.before = undefined
    place.after = undefined
    this.size -= 1
  }

  /** A place may be taken out while it is looked at, and no other. */
  *[Symbol.iterator](): Generator<Place<Value>> {
    for (let place = this.#first; place; ) {
      const { after } = place
      yield place
      place = after
    }
  }
}
