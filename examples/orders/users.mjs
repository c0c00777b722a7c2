// GET /users and GET, PUT, DELETE /users/{userId}. The data lives as long as the process does.

const users = new Map([
  ["ada", { id: "ada", name: "Ada Lovelace" }],
  ["alan", { id: "alan", name: "Alan Turing" }],
]);

const answer = (statusCode, body) => ({
  statusCode,
  headers: { "Content-Type": "application/json" },
  body: body === undefined ? "" : JSON.stringify(body),
});

export const handler = async (event) => {
  const id = event.pathParameters?.userId;
  switch (`${event.httpMethod} ${event.resource}`) {
    case "GET /users":
      return answer(200, [...users.values()]);
    case "GET /users/{userId}":
      return users.has(id) ? answer(200, users.get(id)) : answer(404, { message: `There is no user ${id}` });
    case "PUT /users/{userId}": {
      let name;
      try {
        ({ name } = JSON.parse(event.body ?? ""));
      } catch {
        return answer(400, { message: "The body is not JSON" });
      }
      if (typeof name !== "string" || name === "") return answer(400, { message: "A user needs a name" });
      users.set(id, { id, name });
      return answer(200, users.get(id));
    }
    case "DELETE /users/{userId}":
      users.delete(id);
      return answer(204);
    default:
      return answer(404, { message: "Not here" });
  }
};
