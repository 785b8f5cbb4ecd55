/**
 * Whether two words differ by at most one typing error: one letter is missing, added or replaced, or two neighbouring letters
 * are swapped.
 */
export function isWithinOneEdit(one: string, other: string): boolean {
  let start = 0
  while (start < Math.min(one.length, other.length) && one[start] === other[start]) start++
  let [end, otherEnd] = [one.length, other.length]
  while (end > start && otherEnd > start && one[end - 1] === other[otherEnd - 1]) {
    end--
    otherEnd--
  }
  const [left, right] = [one.slice(start, end), other.slice(start, otherEnd)]
  if (left.length <= 1 && right.length <= 1) return true
  return left.length === 2 && right.length === 2 && left[0] === right[1] && left[1] === right[0]
}
