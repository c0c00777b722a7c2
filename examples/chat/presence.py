"""`$connect` and `$disconnect`: a client comes and goes. It is in no room until it joins one."""

import push
import table


def handler(event, context):
    connection = event["requestContext"]["connectionId"]
    if event["requestContext"]["eventType"] == "CONNECT":
        table.add(connection)
    else:
        room = table.remove(connection)
        if room:
            push.people(event, room)
    return {"statusCode": 200}
