// Orders more of a product than there is, and prints what is available.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"example.com/trivet/shop"
)

func main() {
	url, token, productID := os.Args[1], os.Args[2], os.Args[3]
	configuration := shop.NewConfiguration()
	configuration.Servers = shop.ServerConfigurations{{URL: url}}
	ctx := context.WithValue(context.Background(), shop.ContextAccessToken, token)

	draft := shop.NewOrderDraft([]shop.OrderLineDraft{*shop.NewOrderLineDraft(productID, 1000)})
	_, _, err := shop.NewAPIClient(configuration).OrdersAPI.PlaceOrder(ctx).OrderDraft(*draft).Execute()

	var failed *shop.GenericOpenAPIError
	if !errors.As(err, &failed) {
		log.Fatalf("the order was not refused: %v", err)
	}
	conflict, ok := failed.Model().(shop.PlaceOrderConflictProblem)
	if !ok || conflict.InsufficientStockProblem == nil {
		log.Fatalf("the order was refused for another reason: %s", failed.Body())
	}
	for _, item := range conflict.InsufficientStockProblem.Items {
		var available int32 = item.Available
		fmt.Printf("%s: %d requested, %d available\n", item.ProductId, item.Requested, available)
	}
}
