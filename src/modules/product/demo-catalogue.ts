import type { NewProduct } from './product.ts'

/** The products of a demo shop. Prices are in minor units. */
export const demoCatalogue: NewProduct[] = [
  { name: 'Espresso cup', description: 'Stoneware, 80 ml', price: 1290, stock: 120 },
  { name: 'Cappuccino cup', description: 'Stoneware, 180 ml', price: 1490, stock: 80 },
  { name: 'Moka pot', description: 'Aluminium, three cups', price: 2999, stock: 40 },
  { name: 'Hand grinder', description: 'Steel burrs, 30 g', price: 6450, stock: 25 },
  { name: 'Gooseneck kettle', description: 'Steel, 0.9 l', price: 4900, stock: 30 },
  { name: 'Paper filters', description: 'Size 4, one hundred', price: 399, stock: 500 },
  { name: 'House blend', description: 'Whole beans, 1 kg', price: 1899, stock: 200 },
  { name: 'Decaf', description: 'Whole beans, 500 g', price: 1150, stock: 60 },
  { name: 'Milk jug', description: 'Steel, 350 ml', price: 1650, stock: 45 },
  { name: 'Last year’s calendar', description: 'One left', price: 100, stock: 1 },
]
