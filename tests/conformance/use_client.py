"""A program that uses the generated Python client (test_clients.py runs it): make a contact, change it, be refused."""

import os
from uuid import uuid4

from client import AuthenticatedClient
from client.api.contacts import contacts_create, contacts_get, contacts_update
from client.models import (
    Contact,
    ContactNotFound,
    ContactPatch,
    InvalidInput,
    NewContact,
    Phone,
    VersionMismatch,
)

bellbird = AuthenticatedClient(base_url=os.environ["URL"], token=os.environ["TOKEN"], raise_on_unexpected_status=True)

new = NewContact(first_name="Ann", last_name="Lee", phones=[Phone(number="0412 345 678")])
made = contacts_create.sync(client=bellbird, body=new, idempotency_key=str(uuid4()))
assert isinstance(made, Contact)
print(made.display_name)

changed = contacts_update.sync(
    made.id, client=bellbird, body=ContactPatch(last_name="Smith"), if_match=f'"{made.version}"'
)
assert isinstance(changed, Contact)
print(changed.display_name)

late = contacts_update.sync(made.id, client=bellbird, body=ContactPatch(last_name="Li"), if_match=f'"{made.version}"')
assert isinstance(late, VersionMismatch)
print(late.code.value)

refused = contacts_create.sync(client=bellbird, body=NewContact(first_name="A" * 300))
assert isinstance(refused, InvalidInput)
assert refused.errors
print(str(refused.errors[0].pointer).removeprefix("#"))

unknown = contacts_get.sync(uuid4(), client=bellbird)
assert isinstance(unknown, ContactNotFound)
print(unknown.code.value)
