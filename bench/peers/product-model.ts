import { model, Schema } from 'mongoose'

/** The form of Trivet's product documents, which the peers read. The collection has its indexes already. */
export const Product = model(
  'Product',
  new Schema(
    {
      name: { type: String, required: true },
      description: String,
      price: { type: Number, required: true, min: 0 },
      stock: { type: Number, required: true, min: 0 },
      stocked: Number,
      version: Number,
      contentVersion: Number,
      deleted: Boolean,
      createdAt: Date,
      updatedAt: Date,
    },
    { collection: 'products', versionKey: false, autoIndex: false, autoCreate: false },
  ),
)
