"""Requests to Prefect's API that its client does not support."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

# Maximum page size of the server.
_PAGE = 200


def send(client: SyncPrefectClient, method: str, path: str, body: Any = None) -> Any:
    """Send a request; return the body of the response, None if it is empty.

    Raises:
        httpx.HTTPError: the server does not respond, or rejects the request.
    """
    # The client's type annotations accept known routes only.
    anything: Any = client
    answer = anything.request(method, path, **({} if body is None else {"json": body}))
    return answer.json() if answer.content else None


def every(client: SyncPrefectClient, path: str, **criteria: Any) -> list[dict[str, Any]]:
    """Return all objects that match a filter of the API (`/deployments/filter`), over all pages."""
    items: list[dict[str, Any]] = []
    while True:
        body = {**criteria, "limit": _PAGE, "offset": len(items)}
        page = send(client, "POST", path, body)
        items += page
        if len(page) < _PAGE:
            return items


def delete(client: SyncPrefectClient, path: str) -> None:
    """Delete an object, which another deploy or a person may have deleted already."""
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        send(client, "DELETE", path)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:
            raise
