"""GET /users/{userId}/orders, POST /orders and GET /orders/{orderId}. The data lives as long as the process does."""

import json
import os

PRICES = {"pen": 2.00, "paper": 4.50, "desk": 180.00}
CURRENCY = os.environ.get("CURRENCY", "EUR")

orders = {"1": {"id": "1", "userId": "ada", "item": "pen", "quantity": 3, "total": 6.0, "currency": CURRENCY}}


def answer(status, body):
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}


def place(event):
    try:
        wanted = json.loads(event["body"] or "")
        user, item, quantity = wanted["userId"], wanted["item"], int(wanted.get("quantity", 1))
    except (ValueError, KeyError, TypeError):
        return answer(400, {"message": "An order is JSON with userId, item and quantity"})
    if item not in PRICES or quantity < 1:
        return answer(400, {"message": f"You can order at least one of {', '.join(PRICES)}"})
    # Each stage has its own discount: see the stage variables in openapi.yaml.
    discount = int((event["stageVariables"] or {}).get("discountPercent", 0))
    total = round(PRICES[item] * quantity * (100 - discount) / 100, 2)
    order = {"id": str(len(orders) + 1), "userId": user, "item": item, "quantity": quantity, "total": total,
             "currency": CURRENCY}
    orders[order["id"]] = order
    return answer(201, order)


def handler(event, context):
    parameters = event["pathParameters"] or {}
    match event["httpMethod"], event["resource"]:
        case "POST", "/orders":
            return place(event)
        case "GET", "/users/{userId}/orders":
            return answer(200, [order for order in orders.values() if order["userId"] == parameters["userId"]])
        case "GET", "/orders/{orderId}":
            order = orders.get(parameters["orderId"])
            return answer(200, order) if order else answer(404, {"message": "There is no such order"})
        case _:
            return answer(404, {"message": "Not here"})
