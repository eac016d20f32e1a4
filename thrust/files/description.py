"""What a file itself tells about the content that is sent: its type by its name, its validators by its stat.

Called by `answer.py` for what the app has left unsaid. The table of types is our own: `mimetypes` reads files of the
system, and tells another type on the next machine. Text is called UTF-8, in which nearly all of it is written today;
an app that knows better says so itself. Not in the table are names whose content may be anything.
"""

import os

from thrust.http.fields import format_date

OCTET_STREAM = b"application/octet-stream"

RECENT_S = 2
"""Age from which on a file can be told from the one before it by its time: FAT counts in steps of two seconds, HFS+
and old NFS in one, Linux in those of its clock's ticks."""

NORMALIZED_BEFORE_S = 315_619_200
"""1980-01-02. Tools for reproducible images give every file the same time, version after version: Nix, Bazel and Jib
one at the epoch, buildpacks the first second of 1980. Such a time says nothing."""

# IANA's names where there are any that browsers understand; JavaScript by RFC 9239. `.ts` is a piece of video as in
# nginx: TypeScript is not sent to browsers.
_TYPES = {
    b"text/calendar": "ics ifb",
    b"text/css": "css",
    b"text/csv": "csv",
    b"text/html": "htm html shtml",
    b"text/javascript": "cjs js mjs",
    b"text/markdown": "markdown md",
    b"text/plain": "log text txt",
    b"text/tab-separated-values": "tsv",
    b"text/vcard": "vcard vcf",
    b"text/vtt": "vtt",
    b"application/atom+xml": "atom",
    b"application/dash+xml": "mpd",
    b"application/epub+zip": "epub",
    b"application/geo+json": "geojson",
    b"application/gzip": "gz tgz",
    b"application/java-archive": "ear jar war",
    b"application/json": "json map",
    b"application/ld+json": "jsonld",
    b"application/manifest+json": "webmanifest",
    b"application/msword": "doc",
    b"application/ogg": "ogx",
    b"application/pdf": "pdf",
    b"application/pgp-signature": "asc sig",
    b"application/postscript": "ai eps ps",
    b"application/rss+xml": "rss",
    b"application/rtf": "rtf",
    b"application/sql": "sql",
    b"application/toml": "toml",
    b"application/vnd.android.package-archive": "apk",
    b"application/vnd.apple.mpegurl": "m3u8",
    b"application/vnd.google-earth.kml+xml": "kml",
    b"application/vnd.google-earth.kmz": "kmz",
    b"application/vnd.ms-excel": "xls",
    b"application/vnd.ms-fontobject": "eot",
    b"application/vnd.ms-powerpoint": "ppt",
    b"application/vnd.oasis.opendocument.presentation": "odp",
    b"application/vnd.oasis.opendocument.spreadsheet": "ods",
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    b"application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    b"application/vnd.rar": "rar",
    b"application/vnd.sqlite3": "sqlite sqlite3",
    b"application/wasm": "wasm",
    b"application/x-7z-compressed": "7z",
    b"application/x-bzip2": "bz2",
    b"application/x-ndjson": "ndjson",
    b"application/x-tar": "tar",
    b"application/x-x509-ca-cert": "crt der pem",
    b"application/x-xz": "xz",
    b"application/xhtml+xml": "xhtml",
    b"application/xml": "xml xsd xsl xslt",
    b"application/yaml": "yaml yml",
    b"application/zip": "zip",
    b"application/zstd": "zst",
    b"audio/aac": "aac",
    b"audio/flac": "flac",
    b"audio/midi": "mid midi",
    b"audio/mp4": "m4a",
    b"audio/mpeg": "mp3",
    b"audio/ogg": "oga ogg opus",
    b"audio/wav": "wav",
    b"audio/webm": "weba",
    b"font/collection": "ttc",
    b"font/otf": "otf",
    b"font/ttf": "ttf",
    b"font/woff": "woff",
    b"font/woff2": "woff2",
    b"image/apng": "apng",
    b"image/avif": "avif",
    b"image/bmp": "bmp",
    b"image/gif": "gif",
    b"image/heic": "heic",
    b"image/heif": "heif",
    b"image/jpeg": "jpe jpeg jpg",
    b"image/jxl": "jxl",
    b"image/png": "png",
    b"image/svg+xml": "svg",
    b"image/tiff": "tif tiff",
    b"image/webp": "webp",
    b"image/x-icon": "cur ico",
    b"model/gltf+json": "gltf",
    b"model/gltf-binary": "glb",
    b"model/obj": "obj",
    b"model/stl": "stl",
    b"model/vnd.usdz+zip": "usdz",
    b"video/3gpp": "3gp 3gpp",
    b"video/mp2t": "ts",
    b"video/mp4": "m4v mp4",
    b"video/mpeg": "mpeg mpg",
    b"video/ogg": "ogv",
    b"video/quicktime": "mov",
    b"video/webm": "webm",
    b"video/x-matroska": "mkv",
    b"video/x-msvideo": "avi",
}

_BY_ENDING = {
    ending.encode(): media_type + (b"; charset=utf-8" if media_type.startswith(b"text/") else b"")
    for media_type, endings in _TYPES.items()
    for ending in endings.split()
}


def content_type(name: bytes) -> bytes:
    """The Content-Type of a file called `name`, with or without the folders before it; letter case does not count.

    OCTET_STREAM for what is not in the table, and for names that begin with their only dot.
    """
    stem, dot, ending = name.rpartition(b"/")[2].rpartition(b".")
    return _BY_ENDING.get(ending.lower(), OCTET_STREAM) if stem and dot else OCTET_STREAM


def etag(stat: os.stat_result, now_s: float) -> bytes:
    """The entity-tag of a file: its size, and its time in nanoseconds; the same on every machine that has a copy.

    Weak while the file is so new that it could be changed without another time (RFC 9110 §8.8.1), also if it comes from
    the future; both forms match each other where only If-None-Match is at stake. Of a time that a build tool has made
    up, that of the inode is taken instead: it differs per machine, but also per version.
    """
    time_ns = stat.st_ctime_ns if _is_normalized(stat) else stat.st_mtime_ns
    weakness = b"W/" if time_ns > (now_s - RECENT_S) * 1e9 else b""
    return b'%b"%x-%x"' % (weakness, stat.st_size, time_ns)


def last_modified(stat: os.stat_result, now_s: float) -> bytes | None:
    """The Last-Modified of a file, None if its time was made up by a build tool.

    Never later than now (RFC 9110 §8.8.2.1).
    """
    return None if _is_normalized(stat) else format_date(min(stat.st_mtime, now_s))


def _is_normalized(stat: os.stat_result) -> bool:
    return stat.st_mtime < NORMALIZED_BEFORE_S
