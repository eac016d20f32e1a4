"""Recognising targets whose name holds a hash of the content, so that the content behind them never changes.

Asked on each cache miss. A 200 for such a target is kept although it says nothing about freshness, therefore this file
errs towards not recognising: what is missed is only slower. The built-in rule (see `_is_built`) knows the names that
Django's ManifestStaticFilesStorage, Vite and Rollup, webpack, esbuild, Parcel, Next.js, Propshaft and Sprockets give,
and `?v=<hash>`. A hash has to look like one: random characters change between letters and digits all the time, while
words, versions, dates and numbers do not. By that about one random 8-character hash in ten (hexadecimal), four (Vite)
or three (esbuild) is missed, and of longer ones next to none.

Names alone can be made up by anyone: an app that answers `/account/x-3f9a2c1b.js` with the account page would have it
shared. So a name with anything in its path that two parsers may read in two ways is not recognised, and
`suits_asset` has to agree with the Content-Type. Everything else that forbids storing is in `policy.py`.
"""

import re
from collections.abc import Callable

STATIC_DIRECTORIES = (
    b"assets",
    b"static",
    b"build",
    b"dist",
    b"bundles",
    b"packs",
    b"webpack",
    b"vite",
    b"img",
    b"_astro",
    b"_nuxt",
    b"_app/immutable",
    b"_next/static",
)
"""Directories, anywhere in the path, that hold what a build has made. Not `media` or `uploads`: users fill these."""

CODE = frozenset(b"js mjs cjs css map wasm woff woff2 ttf otf eot".split())
"""Extensions of what builds make and users hardly ever upload: recognised in every directory."""

PAGES = frozenset(b"html htm xhtml php asp aspx jsp cgi py".split())
"""Extensions of what is made for one visitor: never recognised."""

MAX_NAME_BYTES = 255
"""Bytes of the last part of the path; file systems allow no longer names. Bounds the work of all patterns below."""

Rule = re.Pattern[bytes] | bool
"""True: the built-in rule. False: nothing is recognised. A pattern: a path in which it is found."""

Recogniser = Callable[[bytes], bool]

# 8 to 128 hexadecimal digits: digits, letters and digits again, or the other way round. No year at either end, as in
# 2024dec1 and 31dec2024.
_HEX = (
    rb"(?!(?:19|20)[0-9]{2})(?=[a-f]++[0-9]++[a-f]|[0-9]++[a-f]++[0-9])"
    rb"[0-9a-f]{8,128}+(?<!(?:19|20)[0-9]{2})"
)

# esbuild: 8 of base32, changing at least twice like hexadecimal (`-VERSION2.js` is none).
_BASE32 = rb"(?=[A-Z]++[2-7]++[A-Z]|[2-7]++[A-Z]++[2-7])[2-7A-Z]{8}"

# Rollup 4: 8 of base64url in both cases, and in four words or more in the sense of camel case: `DataGrid` has two,
# `Html5Doc` three, a random hash five. With a `-`, which may be the name's own, one more.
_WORD = rb"(?>[A-Z]?[a-z]+|[A-Z]+|[0-9]+)"
_BASE64 = (
    rb"(?=[0-9a-z_-]*+[A-Z])(?=[0-9A-Z_-]*+[a-z])(?=(?:_*+" + _WORD + rb"){4}|(?:[_-]*+" + _WORD + rb"){5})"
    rb"[0-9A-Za-z_-]{8}"
)

# The name goes on to its end with extensions: `.js`, `.min.js`, `.css.gz`, `.js.LICENSE.txt`. No digit begins one, so
# that `-3.7.1` is none.
_EXTENSIONS = rb"(?:\.[A-Za-z][0-9A-Za-z]{0,11}){1,4}+\Z"

# Not the tail of a UUID, which names a thing and not its content.
_UUID_HEAD = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}"
_HASHED = re.compile(
    rb"[.-](?:(?P<plain>(?<!" + _UUID_HEAD + rb"[.-])" + _HEX + rb"|" + _BASE32 + rb")|" + _BASE64 + rb")" + _EXTENSIONS
)

# A name that is nothing but a hash, as webpack's `[contenthash].js`: long, because short ones are numbers of things.
_BARE_HASH = re.compile(rb"(?=[0-9a-f]{16})" + _HEX + _EXTENSIONS)

# Propshaft takes the word of whoever wrote it.
_DIGESTED = re.compile(rb"-[0-9A-Za-z_-]{7,}+\.digested" + _EXTENSIONS)

_VERSION_QUERY = re.compile(rb"(?:v=)?" + _HEX)

# Next.js: a build's directory is named by 21 characters of nanoid.
_NEXT = b"/_next/static/"
_NEXT_BUILD = re.compile(rb"(?=[a-z0-9_-]*+[A-Z])(?=[A-Z0-9_-]*+[a-z])[0-9A-Za-z_-]{21}/")
_NEXT_HASH = re.compile(rb"[0-9a-f]{16}")

_STATIC_PATH = re.compile(rb"/(?:" + b"|".join(STATIC_DIRECTORIES) + rb")/")
_PRECOMPRESSED = (b".gz", b".br", b".zst")

# Dot segments, empty ones, parameters, encoded separators and controls: what the worker's router may read as another
# path than we do.
_AMBIGUOUS = re.compile(rb"/\.{0,2}/|[;\\]|%(?:[01]|2[35EeFf]|3[BbFf]|5[Cc]|7[Ff])")

_JSON_EXTENSIONS = frozenset(b"json map webmanifest geojson".split())


def recogniser(rule: Rule) -> Recogniser:
    """The function that says of a target, as raw bytes with its query, whether its content never changes."""
    if isinstance(rule, bool):
        return is_fingerprinted if rule else _nothing
    search = rule.search
    return lambda target: search(target.partition(b"?")[0]) is not None


def is_fingerprinted(target: bytes) -> bool:
    """Whether the built-in rule recognises `target`, a path in raw bytes with or without a query."""
    path, _, query = target.partition(b"?")
    name = path[path.rfind(b"/") + 1 :]
    if name.find(b".") < 0 or len(name) > MAX_NAME_BYTES:
        return False
    extension = _extension(name)
    if extension in PAGES:
        return False
    return _is_built(path, name, extension, query) and _AMBIGUOUS.search(path) is None


def suits_asset(target: bytes, content_type: bytes) -> bool:
    """Whether a response of that Content-Type can be the asset that the name of `target` promises.

    HTML, and JSON under another extension, is what an app says about one visitor, whatever the path that led to it.
    """
    media_type = content_type.partition(b";")[0].strip(b" \t").lower()
    if not media_type or media_type in (b"text/html", b"application/xhtml+xml"):
        return False
    if media_type.endswith((b"/json", b"+json")):
        return _extension(target.partition(b"?")[0]) in _JSON_EXTENSIONS
    return True


def _nothing(target: bytes) -> bool:
    return False


def _extension(name: bytes) -> bytes:
    """The last extension in lower case; `css` for `app.css.gz`."""
    if name.endswith(_PRECOMPRESSED):
        name = name[: name.rfind(b".")]
    return name[name.rfind(b".") + 1 :].lower()


def _is_built(path: bytes, name: bytes, extension: bytes, query: bytes) -> bool:
    """Code is recognised anywhere by a plain hash; the rest, and by vaguer ones, below a static directory only."""
    is_code = extension in CODE
    hashed = _HASHED.search(name)
    if hashed is not None:
        return (is_code and hashed["plain"] is not None) or _is_static(path)
    if query and _VERSION_QUERY.fullmatch(query):
        return is_code or _is_static(path)
    return _is_static(path) and (
        (is_code and _BARE_HASH.match(name) is not None)
        or (name.find(b".digested.") > 0 and _DIGESTED.search(name) is not None)
        or _is_of_next(path, name)
    )


def _is_static(path: bytes) -> bool:
    return _STATIC_PATH.search(path) is not None


def _is_of_next(path: bytes, name: bytes) -> bool:
    """Whether Next.js made it: everything below a build's name, and chunks, styles and media with 16 digits."""
    start = path.find(_NEXT) + len(_NEXT)
    if start < len(_NEXT):
        return False
    return _NEXT_BUILD.match(path, start) is not None or _NEXT_HASH.search(name) is not None
