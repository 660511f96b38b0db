"""Every error that crosses a module boundary.

    WorkbenchError
    ├── ConfigurationError        a setting, URL or file makes no sense: refuse to start
    │   ├── StoreUnusable         the store's file is unreadable or from a newer version
    │   └── UnreadableFile        a file of lines is damaged, or not what it should be
    ├── RequestError              the request cannot be served as it is: never retried
    │   ├── InvalidRequest        400  malformed, or a field has a value that is not allowed
    │   │   └── PromptTooLong     400  more tokens than the model's context
    │   ├── Forbidden             403  bad or missing key, foreign host, missing scope
    │   ├── NotFound              404  unknown model, entry or route
    │   └── RequestTooLarge       413  the body is over the limit
    ├── BackendError              a Thinker failed: another try may succeed
    │   ├── Overloaded            529  its queue is full
    │   ├── ThinkerUnavailable    529  it cannot be reached
    │   ├── ThinkerTimeout        504  it said nothing for too long
    │   └── BadReply              500  it answered something that is not a reply, or was cut off
    │       └── MalformedToolCall 500  its parser gave up on a tool call of the model
    ├── FleetError                the market of rented machines did not do what was asked
    │   ├── OfferGone             somebody else rented it, or it was withdrawn: take another
    │   ├── PriceChanged          it costs more than was offered: search again
    │   ├── NoCredit              the account cannot pay, or its spend limit is reached: rent nothing
    │   ├── KeyRefused            the key is missing, wrong, or lacks a permission: rent nothing
    │   ├── RateLimited           too many calls: later
    │   ├── MarketRefused         the request makes no sense to the market: the same one would fail again
    │   ├── MarketUnavailable     it cannot be reached or failed, and nothing was rented: later
    │   ├── CreateUnknown         a create may or may not have rented a machine: look for its label, never repeat
    │   ├── LedgerError           the ledger does not fit what it is told, or its file failed: rent nothing
    │   ├── LeaseLost             another controller took the fleet over: this one must do nothing more
    │   └── TunnelError           no SSH connection to a rented machine: another try may succeed
    │       └── HostKeyChanged    another machine answers at its address: never trusted
    ├── StoreError                the store failed: the cache is bypassed, the request is not
    └── EmbeddingError            the embedder failed: likewise

The number is the HTTP status that ``proxy.app`` gives it; nothing below the proxy knows HTTP.
"""


class WorkbenchError(Exception):
    """Root of all errors that the workbench raises on purpose.

    The message says what was seen, what was expected and what to do; it may be shown to the client.
    """


class ConfigurationError(WorkbenchError):
    """A setting, a URL or a file makes no sense; the process refuses to start (exit code 2)."""


class StoreUnusable(ConfigurationError):
    """The store's file is unreadable, or written by a newer version; it was left untouched."""


class UnreadableFile(ConfigurationError):
    """A file that the user named is damaged, or not of the form that was expected."""


class RequestError(WorkbenchError):
    """The request cannot be served as it is; the same request would fail again."""


class InvalidRequest(RequestError):
    """The request is malformed, or a field has a value that is not allowed; the message names it."""


class PromptTooLong(InvalidRequest):
    """The prompt has more tokens than the model's context holds.

    The wording is the API's own: Claude Code starts to compact when it reads it.
    """

    def __init__(self, tokens: int, maximum_tokens: int) -> None:
        super().__init__(f"prompt is too long: {tokens} tokens > {maximum_tokens} maximum")
        self.tokens = tokens
        self.maximum_tokens = maximum_tokens


class Forbidden(RequestError):
    """The key, its scope or the host name does not allow this request."""


class NotFound(RequestError):
    """There is no such model, entry or route."""


class RequestTooLarge(RequestError):
    """The body is over the limit."""


class BackendError(WorkbenchError):
    """A Thinker failed; the same request may succeed on another try."""


class Overloaded(BackendError):
    """The Thinker's queue is full; `retry_after_s` (seconds) is its or our guess."""

    def __init__(self, message: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ThinkerUnavailable(BackendError):
    """No connection to the Thinker."""


class ThinkerTimeout(BackendError):
    """The Thinker said nothing for longer than the settings allow."""


class BadReply(BackendError):
    """The Thinker answered something that is not a reply, failed in the middle, or was cut off."""


class MalformedToolCall(BadReply):
    """The model wrote a tool call that the Thinker's own parser cannot read; another sampling may do better."""


class FleetError(WorkbenchError):
    """The market of rented machines did not do what was asked."""


class OfferGone(FleetError):
    """The offer was rented by somebody else or withdrawn; nothing was rented."""


class PriceChanged(FleetError):
    """The offer costs more than was asked for, or the bid is too low; nothing was rented."""


class NoCredit(FleetError):
    """The account cannot pay, or its spend limit is reached; nothing was rented."""


class KeyRefused(FleetError):
    """The API key is missing, wrong, or lacks a permission."""


class RateLimited(FleetError):
    """Too many calls; nothing was done. `retry_after_s` (seconds) is the market's or our guess."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class MarketRefused(FleetError):
    """The market refused the request as it is; the same request would be refused again."""


class MarketUnavailable(FleetError):
    """The market cannot be reached or failed; a read or a destroy may be tried again, a create was not carried out."""


class CreateUnknown(FleetError):
    """A create was sent and its outcome is not known: look for `label` until it is; never send it again."""

    def __init__(self, message: str, *, label: str) -> None:
        super().__init__(message)
        self.label = label


class LedgerError(FleetError):
    """The ledger's file failed, or what it is told contradicts what it knows."""


class LeaseLost(FleetError):
    """Another controller has taken the fleet over; this one must change nothing more."""


class TunnelError(FleetError):
    """There is no SSH connection to a rented machine, or it broke; another try may succeed."""


class HostKeyChanged(TunnelError):
    """The server at `address` shows another host key than this machine did before."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address}: the SSH host key is not the one this machine showed before, so it was refused: another "
            "machine answers at its address. Nothing was sent to it; a node that stays so is replaced"
        )


class StoreError(WorkbenchError):
    """The store failed; the request goes on without it."""


class EmbeddingError(WorkbenchError):
    """The embedder failed; the request goes on without the semantic tier."""
