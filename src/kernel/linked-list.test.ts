import { expect, it } from 'vitest'
import { LinkedList } from './linked-list.ts'

function listOf(...values: number[]) {
  const list = new LinkedList<number>()
  return { list, places: values.map((value) => list.add(value)) }
}
const valuesOf = (list: LinkedList<number>) => [...list].map(({ value }) => value)

it.each([
  ['the first', 0, [2, 3]],
  ['one between', 1, [1, 3]],
  ['the last', 2, [1, 2]],
])('gives up %s, and keeps the order of the others and of what comes', (_, at, left) => {
  const { list, places } = listOf(1, 2, 3)
  list.remove(places[at] as never)
  expect(list.size).toBe(2)
  list.add(4)
  expect(valuesOf(list)).toEqual([...left, 4])
})

it('can be emptied while it is looked at, and filled again', () => {
  const { list } = listOf(1, 2, 3)
  for (const place of list) list.remove(place)
  expect({ size: list.size, values: valuesOf(list) }).toEqual({ size: 0, values: [] })
  list.add(4)
  expect(valuesOf(list)).toEqual([4])
})

it('leaves nothing in what is taken out that leads to what is still there', () => {
  const { list, places } = listOf(1, 2, 3)
  list.remove(places[1] as never)
  expect(places[1]).toEqual({ value: 2, before: undefined, after: undefined })
})
