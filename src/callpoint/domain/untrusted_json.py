"""JSON that somebody else wrote: whatever is wrong with it is one kind of error."""

from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")


@overload
def read_json(content: bytes | str | msgspec.Raw, kind: type[T]) -> T: ...


@overload
def read_json(content: bytes | str | msgspec.Raw, kind: Any) -> Any: ...  # noqa: ANN401 -- a union is no ``type``


def read_json(content: bytes | str | msgspec.Raw, kind: Any) -> Any:
    """Decode it as that type.

    Raises:
        msgspec.DecodeError: It is not that. The library itself also raises RecursionError, for
            some two kilobytes of brackets, and UnicodeError; who reads what strangers send
            does not expect those, and would end instead of refusing it.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeError:  # of a str as well: a surrogate has no UTF-8
        raise msgspec.DecodeError("it is not UTF-8") from None
