import { model, Schema } from 'mongoose'

export const Order = model(
  'Order',
  new Schema(
    {
      lines: [{ _id: false, productId: String, quantity: Number, name: String, price: Number }],
      totalAmount: { type: Number, required: true },
      status: { type: String, required: true },
    },
    { collection: 'orders', versionKey: false, timestamps: true, autoIndex: false, autoCreate: false },
  ),
)

/** The body of `POST /orders/create_order`. */
export interface OrderRequest {
  productList: { productId: string; quantity: number }[]
}
