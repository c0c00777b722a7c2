// One function for all routes: payload format 2.0 tells which one it is, and what is answered without a status is 200.
const orders = new Map([["1", { id: "1", item: "coffee", count: 1 }]]);

export async function handler(event) {
  const currency = event.stageVariables?.currency;
  switch (event.routeKey) {
    case "GET /orders":
      return { currency, orders: [...orders.values()] };
    case "GET /orders/{id}":
      return orders.get(event.pathParameters.id) ?? answer(404, { message: "There is no such order" });
    case "POST /orders": {
      const { item, count = 1 } = JSON.parse(event.isBase64Encoded ? Buffer.from(event.body, "base64") : event.body);
      const order = { id: String(orders.size + 1), item, count };
      orders.set(order.id, order);
      return answer(201, order);
    }
  }
}

function answer(statusCode, body) {
  return { statusCode, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}
