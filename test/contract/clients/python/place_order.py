"""Orders more of a product than there is, and prints what is available."""

import sys

from shop import AuthenticatedClient
from shop.api.orders import place_order
from shop.models import InsufficientStockProblem, OrderDraft, OrderLineDraft

url, token, product_id = sys.argv[1:]
draft = OrderDraft(product_list=[OrderLineDraft(product_id=product_id, quantity=1000)])
answer = place_order.sync(client=AuthenticatedClient(url, token), body=draft)

if not isinstance(answer, InsufficientStockProblem):
    sys.exit(f"the order was not refused for lack of stock: {answer}")
for item in answer.items:
    available: int = item.available
    print(f"{item.product_id}: {item.requested} requested, {available} available")
