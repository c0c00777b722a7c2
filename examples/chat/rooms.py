"""`join` and `say`: what clients send."""

import json

import push
import table


def handler(event, context):
    connection = event["requestContext"]["connectionId"]
    message = json.loads(event["body"])
    if event["requestContext"]["routeKey"] == "join":
        before = table.room_of(connection)
        table.join(connection, message["room"], message["name"])
        for room in {before, message["room"]} - {None}:
            push.people(event, room)
    else:
        room, name = table.place_of(connection)
        if room:
            push.to_room(event, room, {"from": name, "text": str(message.get("text", ""))})
        else:
            push.post(event, connection, {"error": "join a room first"})
    return {"statusCode": 200}
