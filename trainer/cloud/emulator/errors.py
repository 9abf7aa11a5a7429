"""What the services refuse, as they say it.

raise ServiceError("NOT_FOUND", "Field: name Error: The model resource was not found.")
"""

from typing import Any


CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}
"""The HTTP statuses of https://cloud.google.com/apis/design/errors."""
NUMBERS = {
    "CANCELLED": 1,
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "FAILED_PRECONDITION": 9,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}
"""The numbers of https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto."""


class ServiceError(Exception):
    """A request that is refused, or an operation that failed."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    @property
    def code(self) -> int:
        """Of the HTTP response."""
        return CODES[self.status]

    def body(self) -> dict[str, Any]:
        """Of the HTTP response."""
        return {"error": {"code": self.code, "message": self.message, "status": self.status}}

    def rpc(self) -> dict[str, Any]:
        """As the error of an operation or a job."""
        return {"code": NUMBERS[self.status], "message": self.message}


def not_found(name: str) -> ServiceError:
    """There is no such resource."""
    return ServiceError("NOT_FOUND", f"{name}: not found.")
