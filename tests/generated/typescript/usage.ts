// Uses the generated client: it compiles as long as names, bodies and answers stay what they are.
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./bellwire.js";

const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8000" });
const key = { "X-API-Key": "bw_live_id_secret" };

type Problem = components["schemas"]["Problem"];
type Expect<T extends true> = T;
type Has<Name extends string> = Name extends keyof operations ? true : false;
type Lacks<Path extends string> = Path extends keyof paths ? false : true;

export type Named = [
  Expect<Has<"createUser">>,
  Expect<Has<"logIn">>,
  Expect<Has<"publishNotification">>,
  Expect<Has<"publishBatch">>,
  Expect<Has<"listNotifications">>,
  Expect<Has<"markNotificationRead">>,
  Expect<Has<"disableUser">>,
];
export type WithoutAliases = [
  Expect<Lacks<"/createUser">>,
  Expect<Lacks<"/createNotification">>,
  Expect<Lacks<"/notifications/{user_id}">>,
];

export async function publish(): Promise<string> {
  const { data, error } = await client.POST("/v1/notifications", {
    headers: key,
    params: { header: { "Idempotency-Key": "order-7" } },
    body: { user_id: "demo", event: "order.shipped", message: "On its way.", metadata: { order: 7 } },
  });
  if (error) return (error satisfies Problem).detail;
  return data.id;
}

export async function unread(): Promise<number> {
  const { data } = await client.GET("/v1/users/{user_id}/notifications", {
    params: { path: { user_id: "demo" }, query: { status: "unread", limit: 10 } },
  });
  return data?.items.filter((item) => item.read_at === null).length ?? 0;
}

export async function lockOut(): Promise<boolean> {
  const { response } = await client.POST("/v1/users/{user_id}/disable", {
    headers: key,
    params: { path: { user_id: "demo" } },
  });
  return response.status === 204;
}
