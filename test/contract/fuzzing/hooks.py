"""Hooks that give Schemathesis what no generator can guess: products and orders that exist, their versions, cursors and
credentials. They change only requests that are meant to be valid, and ids that are valid in form, so that a request that
is meant to be invalid stays so."""

import atexit
import json
import os
import re
from collections import Counter, defaultdict
from zlib import crc32

import requests
import schemathesis

URL = os.environ["TRIVET_URL"]
ADMIN = {"Authorization": f"Bearer {os.environ['TRIVET_ADMIN_TOKEN']}"}
CUSTOMER = {"Authorization": f"Bearer {os.environ['TRIVET_CUSTOMER_TOKEN']}"}
ACCOUNT = {"email": os.environ["TRIVET_EMAIL"], "password": os.environ["TRIVET_PASSWORD"]}
STATUSES_PATH = os.environ["TRIVET_STATUSES"]
TIMEOUT_SECONDS = 30
ID = re.compile(r"[0-9a-f]{24}")

statuses = defaultdict(Counter)  # by operation
versions = {}  # of every product and order that an answer has named, by id
pages = {}  # the query and the next cursor of a page, by path


def post(path, headers, body):
    answer = requests.post(f"{URL}{path}", json=body, headers=headers, timeout=TIMEOUT_SECONDS)
    answer.raise_for_status()
    remember(answer.json())
    return answer.json()


def create_product():
    body = {"name": "Cup", "price": 12.9, "stock": 1_000_000}
    return post("/products/create_product", ADMIN, body)["productId"]


def place_order():
    body = {"productList": [{"productId": products[0], "quantity": 1}]}
    return post("/orders/create_order", CUSTOMER, body)["orderId"]


def id_of(resource):
    return resource.get("orderId") or resource.get("productId")


def remember(resource):
    if isinstance(resource, dict) and id_of(resource) and "version" in resource:
        versions[id_of(resource)] = resource["version"]


# No request changes these products, so that orders of them succeed.
products = [create_product() for _ in range(5)]


def is_unknown(value):
    """Whether the id is valid in form and names nothing yet. A third of such ids is left as it is."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        return False
    return value not in versions and int(value[-1], 16) % 3 != 0


def use_existing_resources(case):
    parameters = case.path_parameters or {}
    if is_unknown(parameters.get("id")):
        parameters["id"] = place_order() if case.operation.path.startswith("/orders") else create_product()
    lines = case.body.get("productList") if isinstance(case.body, dict) else None
    for line in lines if isinstance(lines, list) else []:
        if isinstance(line, dict) and is_unknown(line.get("productId")):
            line["productId"] = products[int(line["productId"], 16) % len(products)]


def use_valid_query(case):
    query = case.query or {}
    for name in ["minPrice", "maxPrice"]:
        if isinstance(query.get(name), float):
            query[name] = round(query[name], 2)
    # The document says the following rules only in words: a range is not empty, and some filters belong to a sort.
    for low, high in [("minPrice", "maxPrice"), ("createdAfter", "createdBefore")]:
        if low in query:
            query.pop(high, None)
    if "updatedAfter" in query:
        query["sort"] = "updated"
    if query.get("sort") == "updated":
        query.pop("status", None)
    if "cursor" not in query:
        return
    first_query, cursor = pages.get(case.operation.path, ({}, None))
    query.clear()
    query.update({**first_query, **({"cursor": cursor} if cursor else {})})


def keep_rules_in_words(body):
    if isinstance(body.get("price"), float):
        body["price"] = round(body["price"], 2)
    if body.get("change"):
        body["change"] = int(body["change"]) % 1_000 or 1
    for name in ["password", "newPassword"]:
        if name in body:
            body[name] = ACCOUNT["password"]


def use_credentials(case):
    if "refreshToken" in case.body:
        case.body["refreshToken"] = post("/login", {}, ACCOUNT)["refreshToken"]
    if "currentPassword" in case.body:
        case.body["currentPassword"] = ACCOUNT["password"]
    if case.operation.path == "/login":
        case.body = dict(ACCOUNT)


def use_entity_tags(case):
    """Schemathesis also takes what is no entity tag for valid in these headers, whatever their pattern is."""
    at = (case.path_parameters or {}).get("id")
    for name in ["If-Match", "If-None-Match"]:
        given = (case.headers or {}).get(name)
        if given is not None and given.strip() != "*" and '"' not in given:
            case.headers[name] = f'"{versions.get(at, 1)}"'


def use_current_version(case):
    at = (case.path_parameters or {}).get("id")
    if "productId" in case.body:
        case.body["productId"] = at
    if at in versions and case.body.get("version", 0) % 4 != 0:
        case.body["version"] = versions[at]


# What a link hands to the body of the next request. The document says it in words only (see its test).
LINKED_BODIES = {
    "refreshTokens": {"refreshToken": "$response.body#/refreshToken"},
    "signOut": {"refreshToken": "$response.body#/refreshToken"},
    "signIn": {"username": "$response.body#/username", "password": "$request.body#/password"},
    "placeOrder": {"productList": [{"productId": "$response.body#/productId", "quantity": 1}]},
}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                for name, link in response.get("links", {}).items():
                    if name in LINKED_BODIES:
                        link["requestBody"] = LINKED_BODIES[name]


@schemathesis.hook
def before_call(context, case, kwargs):
    use_existing_resources(case)
    if case.meta and case.meta.generation.mode.is_negative:
        return
    use_valid_query(case)
    use_entity_tags(case)
    if isinstance(case.body, dict):
        keep_rules_in_words(case.body)
        use_current_version(case)
        # Half of the attempts stay without success.
        if crc32(str(case.body).encode()) % 2 == 0:
            use_credentials(case)


@schemathesis.hook
def after_call(context, case, response):
    if case.method.upper() == case.operation.method.upper():
        statuses[case.operation.definition.raw["operationId"]][response.status_code] += 1
    if not response.content or "application/json" not in response.headers.get("content-type", [""])[0]:
        return
    body = json.loads(response.content)
    remember(body)
    if isinstance(body.get("data"), list):
        for resource in body["data"]:
            remember(resource)
        query = {name: value for name, value in (case.query or {}).items() if name != "cursor"}
        pages[case.operation.path] = (query, body.get("nextCursor"))


@atexit.register
def write_statuses():
    with open(STATUSES_PATH, "w") as file:
        json.dump(statuses, file)
