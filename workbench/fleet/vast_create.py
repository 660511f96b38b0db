"""A create: what is sent, and what its answer says of whether a machine was rented."""

from __future__ import annotations

from typing import Any

from workbench.errors import ConfigurationError
from workbench.fleet import vast_refusals
from workbench.fleet.market import Rental, Rented
from workbench.fleet.vast_calls import Answer

ONSTART_MAX_CHARS = 4096


def body(rental: Rental) -> dict[str, Any]:
    """The request; raises `ConfigurationError` when the script is too long for the market."""
    if len(rental.onstart) > ONSTART_MAX_CHARS:
        raise ConfigurationError(
            f"the onstart script has {len(rental.onstart)} characters, expected at most {ONSTART_MAX_CHARS}"
        )
    body: dict[str, Any] = {
        "client_id": "me",
        "image": rental.image,
        "env": dict(rental.env),
        "disk": rental.disk_gb,
        "label": rental.label,
        "onstart": rental.onstart,
        "runtype": "ssh_direc ssh_proxy",
        "cancel_unavail": True,
    }
    # Without a price the market rents on-demand, also from a bid offer.
    return body if rental.bid_usd_per_h is None else body | {"price": float(rental.bid_usd_per_h)}


def rented(answer: Answer) -> Rented | None:
    """What was rented, also when the answer is an error that names it."""
    decoded = vast_refusals.decoded(answer.body)
    instance_id = decoded.get("new_contract")
    if isinstance(instance_id, str) and instance_id.isdecimal():
        instance_id = int(instance_id)
    if not isinstance(instance_id, int) or isinstance(instance_id, bool):
        return None
    key = decoded.get("instance_api_key")
    well = answer.status == 200 and decoded.get("success") is not False
    complaint = "" if well else " ".join(vast_refusals.said(answer.body))
    return Rented(instance_id, key=key if isinstance(key, str) else None, complaint=complaint)


def is_ambiguous(answer: Answer) -> bool:
    """Whether this answer to a create leaves open if something was rented."""
    if answer.status >= 500 or answer.status == 408:
        return True
    return answer.status < 400 and vast_refusals.decoded(answer.body).get("success") is not False
