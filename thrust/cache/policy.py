"""What a shared cache may store, under which variant, what a 304 changes and what an unsafe request ends (RFC 9111).

Called by the cache's handler; how long something lives and who may have it is in `cache/freshness.py`. Pure decisions
on fields: nothing is remembered here. `why_not_stored` runs for every forwarded GET, so the ordinary refusal, a page
that names no lifetime, costs one pass over its fields.

Ignored on purpose: CDN-Cache-Control and Surrogate-Control, which speak to caches that the operator has put in front
of us. A response that varies by Cookie or Authorization is stored if it names a lifetime: one variant for each value.
"""

from thrust.cache.freshness import DEFAULT_CACHEABLE, freshness_lifetime_s, request_directives, stored_validity
from thrust.http.fields import Directives, cache_control, delta_seconds
from thrust.http.headers import FieldLine, Headers, tokens
from thrust.http.message import Origin

# What lets a response be stored at all: a lifetime, or with no-cache the validation of each use.
FRESHNESS_FIELDS = frozenset({b"cache-control", b"expires"})

# 304 is about another response (§3); the others answer one client's range, expectation, precondition, connection or
# haste. RFC 6585 forbids storing 428, 429, 431 and 511, RFC 8470 §5.2 explains 425.
_NEVER_STORED = frozenset({304, 407, 408, 412, 413, 416, 417, 421, 425, 426, 428, 429, 431, 511})

# What `must-understand` asks for (§5.2.2.3): statuses whose rules for caches are all kept here.
_UNDERSTOOD = DEFAULT_CACHEABLE | {302, 303, 307, 400, 401, 403, 406, 409, 422, 451, 500, 502, 503, 504}

# Fields that we write ourselves, with a value for each client or request: to vary by them is to vary always. What we
# say in X-Forwarded-Proto, -Host and -Port is part of the key.
_DIFFERENT_FOR_EACH = frozenset(
    {b"*", b"forwarded", b"x-forwarded-for", b"x-real-ip", b"x-request-id", b"x-request-start"}
)

_KEYED_OR_HARMLESS = frozenset(
    {
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-server",  # the proxy's own name, which Traefik sends with every request
    }
)

UNKEYED_FIELDS = frozenset(
    {
        b"front-end-https",
        b"x-envoy-original-path",
        b"x-forwarded",
        b"x-host",
        b"x-http-host-override",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method",
        b"x-method-override",
        b"x-original-host",
        b"x-original-method",
        b"x-original-uri",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-scheme",
        b"x-script-name",
        b"x-url-scheme",
    }
)
"""Request fields by which frameworks and proxies let a client change method, URL or links, and that no key contains."""

# What is in the key already is no news: proxies repeat it for the apps that expect it there. ingress-nginx sends
# X-Scheme and X-Forwarded-Scheme with every request, Azure's Application Gateway X-Original-Host.
_SCHEME_AGAIN = frozenset({b"x-forwarded-scheme", b"x-scheme", b"x-url-scheme"})
_TLS_AGAIN = frozenset({b"front-end-https", b"x-forwarded-ssl"})
_HOST_AGAIN = frozenset({b"x-host", b"x-original-host"})

_VALIDATORS = frozenset({b"etag", b"last-modified"})
_CREDENTIALS = frozenset({b"authorization", b"cookie"})
_CASE_INSENSITIVE = frozenset({b"accept", b"accept-charset", b"accept-encoding", b"accept-language"})

# A 304 does not change these (§3.2): what is stored was read, decoded and coded by them. Set-Cookie is for one client.
_NOT_UPDATED = frozenset({b"content-encoding", b"content-length", b"content-range", b"content-type", b"set-cookie"})

# The stored response's own age: after validation that of the 304 counts, also where it does not say.
_ENDED_BY_VALIDATION = frozenset({b"age", b"date"})

# RFC 9110 §9.2.1 and the registry; what is not known to be safe is not (RFC 9111 §4.4).
_SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"QUERY", b"REPORT", b"SEARCH"})
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


def why_not_stored(
    method: bytes,
    request_headers: Headers,
    status: int,
    response_headers: Headers,
    *,
    requested_at_s: float,
    received_at_s: float,
    is_fingerprinted: bool,
    origin: Origin | None = None,
) -> str:
    """ "" if the response should be stored, else the reason in a word, for Cache-Status and the log (RFC 9111 §3).

    Whether a request had content, and the answer all of its own, is for the caller to know. `origin` is the request's,
    if the key contains it.
    """
    if method != b"GET":
        return "method"
    if status < 200 or status in _NEVER_STORED:
        return f"status-{status}"
    names = {line[0] for line in response_headers.lines}
    if status == 206 or b"content-range" in names:
        return "partial"
    if b"set-cookie" in names:
        return "set-cookie"
    if not is_fingerprinted and names.isdisjoint(FRESHNESS_FIELDS):
        return "no-freshness"
    directives = cache_control(response_headers.get_all(b"cache-control"))
    if reason := _why_forbidden(status, directives):
        return reason
    if b"authorization" in request_headers and not _allows_sharing_after_authorization(directives):
        return "authorization"
    if reason := why_request_not_stored(method, request_headers, origin):
        return reason
    varies_by = vary_names(response_headers)
    if varies_by is None:
        return "vary-star"
    if freshness_lifetime_s(status, response_headers, received_at_s, is_fingerprinted=is_fingerprinted) is None:
        return "vary-cookie" if is_fingerprinted and b"cookie" in varies_by else "no-freshness"
    if not names.isdisjoint(_VALIDATORS):
        return ""
    if b"no-cache" in directives:
        return "no-cache"
    validity = stored_validity(
        status,
        response_headers,
        requested_at_s=requested_at_s,
        received_at_s=received_at_s,
        is_fingerprinted=is_fingerprinted,
    )
    return "" if validity.is_of_use_without_validator(received_at_s) else "stale"


def why_request_not_stored(method: bytes, request_headers: Headers, origin: Origin | None = None) -> str:
    """The part of `why_not_stored` that is known before there is an answer; "" if it depends on the answer."""
    if method != b"GET":
        return "method"
    if b"range" in request_headers:
        return "range"
    if shapes_response(request_headers, origin):
        return "unkeyed-field"
    directives = request_directives(request_headers)
    return "request-no-store" if directives is not None and directives.no_store else ""


def shapes_response(request_headers: Headers, origin: Origin | None = None) -> bool:
    """Whether the request has a field by which it could shape an answer that others would get as well.

    Beside UNKEYED_FIELDS that is every X-Forwarded field but those which the key covers, and a Forwarded that says
    anything else than the key. What only repeats scheme and host of `origin`, which the key contains, shapes nothing.
    """
    if origin is not None and origin.forwarded and _says_more(origin.forwarded, origin):
        return True
    return any(
        (name in UNKEYED_FIELDS or (name.startswith(b"x-forwarded-") and name not in _KEYED_OR_HARMLESS))
        and (origin is None or not _repeats(name, value, origin))
        for name, value in request_headers.lines
    )


def _repeats(name: bytes, value: bytes, origin: Origin) -> bool:
    if name in _SCHEME_AGAIN:
        return value == origin.scheme
    if name in _TLS_AGAIN:
        return value == (b"on" if origin.scheme == b"https" else b"off")
    return name in _HOST_AGAIN and value == origin.host


def _says_more(forwarded: bytes, origin: Origin) -> bool:
    """Whether a Forwarded field (RFC 7239) names another scheme or host, or anything that we do not know."""
    known = {b"proto": origin.scheme, b"host": origin.host}
    for pair in forwarded.replace(b",", b";").split(b";"):
        name, _, value = pair.strip(b" \t").partition(b"=")
        if name.lower() not in (b"", b"by", b"for") and known.get(name.lower()) != value.strip(b'"'):
            return True
    return False


def _why_forbidden(status: int, directives: Directives) -> str:
    """`private` with field names is private: the fields cannot be left out without changing the response."""
    if b"private" in directives:
        return "private"
    if b"must-understand" in directives:  # instead of no-store, which stands beside it for older caches (§5.2.2.3)
        return "" if status in _UNDERSTOOD else f"status-{status}"
    return "no-store" if b"no-store" in directives else ""


def _allows_sharing_after_authorization(directives: Directives) -> bool:
    """Whether a response to a request with credentials may be given to others (§3.5); `public; x` does not say so."""
    return (
        directives.get(b"public", b"") is None
        or directives.get(b"must-revalidate", b"") is None
        or delta_seconds(directives.get(b"s-maxage")) is not None
    )


def vary_names(response_headers: Headers) -> tuple[bytes, ...] | None:
    """The request fields that choose the variant: lower case, sorted; None if no request can be sure to match.

    Without Accept-Encoding, since one stored response answers in every coding.
    """
    names = set(tokens(response_headers.get_all(b"vary")))
    if not names.isdisjoint(_DIFFERENT_FOR_EACH):
        return None
    return tuple(sorted(names - {b"accept-encoding"}))


def vary_values(names: tuple[bytes, ...], request_headers: Headers) -> tuple[bytes | None, ...]:
    """What the request says in the fields `names`, None where it has none; equal means the same variant (§4.1)."""
    return tuple([_normalised(name, request_headers.get_all(name)) for name in names]) if names else ()


def _normalised(name: bytes, values: list[bytes]) -> bytes | None:
    """One spelling for what means the same: lines joined, no space at commas, letter case where it does not count.

    Credentials and values with quotes stay as they are: a comma there need not separate anything.
    """
    if not values:
        return None
    value = values[0] if len(values) == 1 else b",".join(values)
    if name in _CREDENTIALS or value.find(b'"') != -1:
        return value
    if value.find(b",") != -1:
        value = b",".join([member.strip(b"\t ") for member in value.split(b",")])
    return value.lower() if name in _CASE_INSENSITIVE else value


def updated_headers(stored: list[FieldLine], from_304: list[FieldLine]) -> list[FieldLine]:
    """The fields of a stored response that a 304 has validated (§3.2): its own, without those that the 304 replaces.

    The 304 may also forbid what the stored response allowed: ask `why_not_stored` about the result, and make a new
    Validity from it. Date and Age of the stored response end here, even if the 304 has none.
    """
    news = [line for line in from_304 if line[0] not in _NOT_UPDATED]
    replaced = _ENDED_BY_VALIDATION.union(line[0] for line in news)
    return [line for line in stored if line[0] not in replaced] + news


def invalidates(method: bytes, status: int) -> bool:
    """Whether what is stored under the target of this request may be wrong now (§4.4)."""
    return method not in _SAFE_METHODS and 200 <= status < 400


def invalidated_targets(
    method: bytes, status: int, response_headers: Headers, *, scheme: bytes, authority: bytes, target: bytes
) -> list[bytes]:
    """The targets, in origin-form, under which nothing stored is valid any more; empty if all stays as it is.

    The request's own, and what Location and Content-Location name, as long as it is of the same origin: others'
    resources are not for this response to end (§4.4).
    """
    if not invalidates(method, status):
        return []
    targets = [target]
    for name in (b"location", b"content-location"):
        for reference in response_headers.get_all(name):
            other = _target_of_same_origin(reference, scheme, authority, target)
            if other is not None and other not in targets:
                targets.append(other)
    return targets


def _target_of_same_origin(reference: bytes, scheme: bytes, authority: bytes, target: bytes) -> bytes | None:
    # Needed after few requests, and not light to import.
    from urllib.parse import urljoin, urlsplit

    if not target.startswith(b"/"):
        return None
    base = (scheme + b"://" + authority + target).decode("latin-1")
    try:
        parts = urlsplit(urljoin(base, reference.decode("latin-1")))
    except ValueError:
        return None
    named_scheme, named_authority = parts.scheme.encode("latin-1"), parts.netloc.encode("latin-1")
    if named_scheme != scheme or _origin(named_scheme, named_authority) != _origin(scheme, authority):
        return None
    query = "?" + parts.query if parts.query else ""
    return ((parts.path or "/") + query).encode("latin-1")


def _origin(scheme: bytes, authority: bytes) -> bytes:
    """`authority` in lower case, without the port that the scheme implies."""
    return authority.lower().removesuffix(_DEFAULT_PORTS.get(scheme, b":"))
