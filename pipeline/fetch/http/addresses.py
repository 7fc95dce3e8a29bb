"""Which addresses are asked, and where an answer may lead."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from pipeline.core.errors import FetchError

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"http": 80, "https": 443}
# an IPv6 address under this prefix is the way to the IPv4 address in its last 32 bits (RFC 6052)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# for measurements (RFC 2544); a proxy on the machine itself may let every public name stand for one of them
_STAND_INS = ipaddress.IPv4Network("198.18.0.0/15")


def split_address(url: str) -> SplitResult:
    """Split an http(s) address; the host loses any ``user:password@``.

    Raises
    ------
    FetchError
        Not an http(s) address with a host, written in ASCII, and perhaps a port.
    """
    refused = f"{url!r} is not an address that can be fetched; expected https://HOST/PATH"
    try:
        parts = urlsplit(url)
    except ValueError as error:  # brackets that do not close, letters that stand for a slash
        raise FetchError(refused) from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise FetchError(refused)
    netloc = parts.netloc.rpartition("@")[2]
    if not _is_host(netloc):
        raise FetchError(f"{refused} (its host is {netloc!r}; other letters than ASCII are written as xn--…)")
    return parts._replace(netloc=netloc)


def _is_host(netloc: str) -> bool:
    found = _HOST_AND_PORT.fullmatch(netloc)
    if found is None or int(found["port"] or 0) > 65535:
        return False
    if not found["host"].startswith("["):
        return _NAME.fullmatch(found["host"]) is not None
    try:
        ipaddress.IPv6Address(found["host"].strip("[]"))
    except ValueError:
        return False
    return True


def path_within(parts: SplitResult) -> str | None:
    """The path of an address without its first slash, ``%20`` and the like read; None if it leads upwards."""
    path = unquote(parts.path).lstrip("/")
    return None if ".." in path.split("/") or "\0" in path else path


def redirected(asked: str, location: str) -> str:
    """The address to ask when the answer of ``asked`` leads to ``location``.

    A host may lead to itself by the same scheme and port. Anything else goes by https: an http address with the usual
    port is asked by https instead. Another host must not be on this machine or in a network of its own: a public
    server could otherwise have this machine ask what only this machine can reach. (A name that stands for another
    address a moment later still has to show its certificate.)

    Parameters
    ----------
    location : the header Location, whole or relative

    Raises
    ------
    FetchError
        Half a sentence: where it leads, and why nobody follows.
    """
    try:
        logs_in = "@" in urlsplit(location).netloc
        target = urljoin(asked, location)
    except ValueError as error:
        raise FetchError(f"it leads to {location!r}, which is no address") from error
    if logs_in:
        raise FetchError("it leads to an address with a user's name, and nobody logs in")
    old, new = split_address(asked), split_address(target)
    same_host = old.hostname == new.hostname
    if same_host and _origin(old) == _origin(new):
        return new._replace(netloc=urlsplit(asked).netloc).geturl()
    if not same_host and not is_public(new.hostname or ""):
        raise FetchError(f"it leads to {new.netloc}, which is this machine or in a network of its own")
    if new.scheme == "http":
        if _port(new) != _PORTS["http"]:
            raise FetchError(f"it leads to {new.scheme}://{new.netloc}, which is not https")
        new = new._replace(scheme="https", netloc=new.netloc.removesuffix(":80"))
    return new.geturl()


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _origin(parts: SplitResult) -> tuple[str, int]:
    return parts.scheme, _port(parts)


def is_public(host: str) -> bool:
    """Whether all that a name or a number stands for lies in the open network.

    A name that is not known here counts as public: either nothing is reached, or a proxy knows it.
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True
    return all(_is_public_number(str(address[4][0])) for address in found)


def _is_public_number(text: str) -> bool:
    number = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address):
        inner = number.ipv4_mapped or number.sixtofour
        if number in _NAT64:
            inner = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
        if inner is not None:
            number = inner
    if isinstance(number, ipaddress.IPv4Address) and number in _STAND_INS:
        return True
    return number.is_global and not (number.is_multicast or number.is_reserved)
