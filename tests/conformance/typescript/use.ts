// How a TypeScript program uses the types that are generated from /openapi.json: it only has to compile, strictly.
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./api";

type Contact = components["schemas"]["Contact"];
type NewContact = components["schemas"]["NewContact"];
type Problem = components["schemas"]["Problem"];

const bellbird = createClient<paths>({
  baseUrl: "http://127.0.0.1:8000",
  headers: { Authorization: "Bearer token" },
  querySerializer: { array: { style: "form", explode: false } },
});

// What may be left out may be left out, and a nested shape is as it is sent.
const ann: NewContact = {
  first_name: "Ann",
  phones: [{ number: "0412 345 678" }],
  emails: [{ address: "ann@acme.com.au", primary: true }],
  custom: { shoe_size: 38 },
};

// @ts-expect-error: a field that there is not
const misspelt: NewContact = { firstname: "Ann" };
// @ts-expect-error: a value that cannot be
const unkind: NewContact = { first_name: "Ann", kind: "robot" };

export async function create(): Promise<Contact> {
  const { data, error, response } = await bellbird.POST("/api/v1/contacts", {
    body: ann,
    params: { header: { "Idempotency-Key": crypto.randomUUID() } },
  });
  if (error) {
    throw new Error(explain(error, response.status));
  }
  const id: string = data.id;
  const name: string | undefined = data.display_name;
  console.log(id, name, response.headers.get("ETag"));
  return data;
}

function explain(problem: Problem, status: number): string {
  const faults = (problem.errors ?? []).map((fault) => `${fault.pointer ?? fault.parameter}: ${fault.detail}`);
  return [`${status} ${problem.code}: ${problem.detail}`, ...faults].join("\n");
}

// A program goes by `code`, and the compiler knows which there are.
type Refused = operations["contacts_create"]["responses"][409]["content"]["application/problem+json"];
export function isDuplicate(refused: Refused): boolean {
  // @ts-expect-error: no such code
  if (refused.code === "nonsense") return false;
  return refused.code === "duplicate_contact";
}

export async function* everybody(): AsyncGenerator<Contact> {
  const filter: components["schemas"]["ContactFilter"] = { or: [{ tag: "vip" }, { created_at: { gte: "2026-01-01" } }] };
  let cursor: string | undefined;
  do {
    const { data, error } = await bellbird.GET("/api/v1/contacts", {
      params: { query: { filter: JSON.stringify(filter), sort: "name", limit: 200, fields: ["display_name", "emails"], ...(cursor && { cursor }) } },
    });
    if (error) throw new Error(error.code);
    yield* data.data;
    cursor = data.next_cursor ?? undefined;
  } while (cursor);
}

export async function rename(contact: Contact, last_name: string | null): Promise<Contact | undefined> {
  const { data, error } = await bellbird.PATCH("/api/v1/contacts/{id}", {
    params: { path: { id: contact.id }, header: { "If-Match": `"${contact.version}"` } },
    body: { last_name, phones: contact.phones ?? [] },
  });
  if (error?.code === "version_mismatch") return undefined;
  return data;
}

void misspelt, void unkind;
