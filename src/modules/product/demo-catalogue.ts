import type { NewProduct } from './product.ts'

/**
 * The products of a demo shop. Prices are in minor units. The ids are fixed, because the examples in the OpenAPI document use
 * them. All products are created at the same time, so that the list shows the highest id first.
 */
export const demoCatalogue: readonly (NewProduct & { productId: string })[] = [
  {
    productId: '66f2a1b0c3d4e5f60718290a',
    name: 'Espresso cup',
    description: 'Stoneware, 80 ml',
    price: 1290,
    stock: 120,
  },
  {
    productId: '66f2a1b0c3d4e5f607182909',
    name: 'Cappuccino cup',
    description: 'Stoneware, 180 ml',
    price: 1490,
    stock: 80,
  },
  {
    productId: '66f2a1b0c3d4e5f607182908',
    name: 'Moka pot',
    description: 'Aluminium, three cups',
    price: 2999,
    stock: 40,
  },
  {
    productId: '66f2a1b0c3d4e5f607182907',
    name: 'Hand grinder',
    description: 'Steel burrs, 30 g',
    price: 6450,
    stock: 25,
  },
  {
    productId: '66f2a1b0c3d4e5f607182906',
    name: 'Gooseneck kettle',
    description: 'Steel, 0.9 l',
    price: 4900,
    stock: 30,
  },
  {
    productId: '66f2a1b0c3d4e5f607182905',
    name: 'Paper filters',
    description: 'Size 4, one hundred',
    price: 399,
    stock: 500,
  },
  {
    productId: '66f2a1b0c3d4e5f607182904',
    name: 'House blend',
    description: 'Whole beans, 1 kg',
    price: 1899,
    stock: 200,
  },
  {
    productId: '66f2a1b0c3d4e5f607182903',
    name: 'Decaf',
    description: 'Whole beans, 500 g',
    price: 1150,
    stock: 60,
  },
  {
    productId: '66f2a1b0c3d4e5f607182902',
    name: 'Milk jug',
    description: 'Steel, 350 ml',
    price: 1650,
    stock: 45,
  },
  {
    productId: '66f2a1b0c3d4e5f607182901',
    name: 'Last year’s calendar',
    description: 'One left',
    price: 100,
    stock: 1,
  },
]
