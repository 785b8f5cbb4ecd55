import java.util.List;
import shop.ApiClient;
import shop.ApiException;
import shop.api.OrdersApi;
import shop.model.InsufficientStockProblem;
import shop.model.OrderDraft;
import shop.model.OrderLineDraft;
import shop.model.PlaceOrderConflictProblem;
import shop.model.StockShortage;

/** Orders more of a product than there is, and prints what is available. */
public class PlaceOrder {
  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    client.updateBaseUri(arguments[0]);
    client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + arguments[1]));
    OrderLineDraft line = new OrderLineDraft().productId(arguments[2]).quantity(1000);
    try {
      new OrdersApi(client).placeOrder(new OrderDraft().productList(List.of(line)), null);
      throw new IllegalStateException("the order was not refused");
    } catch (ApiException refused) {
      PlaceOrderConflictProblem conflict =
          client.getObjectMapper().readValue(refused.getResponseBody(), PlaceOrderConflictProblem.class);
      InsufficientStockProblem shortage = conflict.getInsufficientStockProblem();
      for (StockShortage item : shortage.getItems()) {
        int available = item.getAvailable();
        System.out.printf("%s: %d requested, %d available%n", item.getProductId(), item.getRequested(), available);
      }
    }
  }
}
