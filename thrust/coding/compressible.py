"""Which content is worth coding, by its media type and length: the one list to change when a type is missing.

Called for every response that could be coded. In the list is what is text in some form, and the few binary formats
that hold their data as it is. What is compressed by itself only costs time: images but SVG, audio, video, archives,
WOFF fonts, PDF (its streams are deflated) and office documents (ZIP archives). What is unknown stays as it is;
application/octet-stream is unknown too. Caddy's list was a guide, nginx has text/html only until told more.
"""

MIN_BYTES = 1024
"""Content shorter than this stays as it is, as it fits one packet either way. Thruster: 1024, Caddy: 512, nginx: 20."""

_TOP_LEVEL_TYPES = (b"text/",)

# Structured syntax suffixes (RFC 6838 §4.2.8): application/problem+json, image/svg+xml, application/ld+json, …
_SUFFIXES = (b"+json", b"+json-seq", b"+text", b"+xml", b"+yaml")

_TYPES = frozenset(
    {
        # text
        b"application/ecmascript",
        b"application/graphql",
        b"application/javascript",
        b"application/json",
        b"application/json-seq",
        b"application/json5",
        b"application/jsonl",
        b"application/jsonlines",
        b"application/ndjson",
        b"application/n-quads",
        b"application/n-triples",
        b"application/rtf",
        b"application/sql",
        b"application/toml",
        b"application/trig",
        b"application/typescript",
        b"application/vnd.apple.mpegurl",
        b"application/x-javascript",
        b"application/x-mpegurl",
        b"application/x-ndjson",
        b"application/x-sh",
        b"application/x-tex",
        b"application/x-www-form-urlencoded",
        b"application/x-yaml",
        b"application/xml",
        b"application/xml-dtd",
        b"application/yaml",
        b"model/obj",
        # programs
        b"application/wasm",
        # fonts, but for WOFF
        b"application/font-sfnt",
        b"application/vnd.ms-fontobject",
        b"application/vnd.ms-opentype",
        b"application/x-font-opentype",
        b"application/x-font-otf",
        b"application/x-font-truetype",
        b"application/x-font-ttf",
        b"font/collection",
        b"font/eot",
        b"font/opentype",
        b"font/otf",
        b"font/sfnt",
        b"font/ttf",
    }
)

MAX_REMEMBERED = 512
MAX_REMEMBERED_BYTES = 128
"""Per value. All are forgotten when there are too many: at worst one is looked at again, in 0.1 MB of memory."""

_remembered: dict[bytes, bool] = {}


def is_compressible(content_type: bytes) -> bool:
    """Whether content of this type is usually worth coding; `content_type` is the field's value, parameters and all."""
    answer = _remembered.get(content_type)
    return _look_at(content_type) if answer is None else answer


def _look_at(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip(b" \t").lower()
    answer = media_type in _TYPES or media_type.startswith(_TOP_LEVEL_TYPES) or media_type.endswith(_SUFFIXES)
    if len(content_type) <= MAX_REMEMBERED_BYTES:
        if len(_remembered) >= MAX_REMEMBERED:
            _remembered.clear()
        _remembered[content_type] = answer
    return answer
