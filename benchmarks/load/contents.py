"""Made-up scripts and pages that compress like real ones, so that no other project's code has to be kept here.

What decides how well a text packs is how often its pieces come back: names follow Zipf's law, statements and markup a
handful of patterns with names, numbers and words filled in. zlib's level 6 brings 100 KB of script to 31 % of their
size, which lies between Select2 (28 %) and jQuery (35 %), and 30 KB of page to 23 %. The same seed makes the same bytes
on every Python: of `random` only `random()` is used, the one method whose sequence is promised to stay.
"""

import hashlib
import random
import re
from collections.abc import Callable, Sequence

STEMS = re.findall(
    r"\w+",
    """
    account action active add after align anchor append apply archive area array assign async attach attribute
    author avatar back badge base before bind block blur body border bottom bound box browser buffer build bundle
    button cache call cancel card cell change channel check child class clear click client clip clone close code
    collapse collect color column command comment commit compare config confirm connect content context control
    convert cookie copy count create current cursor data date debug decode default delay delete depth detail detect
    dialog direction disable display document drag draw drop duration edit element empty enable encode end enter
    entry error escape event expand expire export extend fade fetch field file fill filter find first fixed float
    flush focus folder font footer force form format forward frame from function gather global grid group guard
    handle hash header height hidden history hook hover icon image import index infinite init inline input insert
    inside install instance invoke item join key label language last layer layout leave left length level limit line
    link list listen load local lock loop main map mark mask match media member menu merge message meta method
    middle minute modal mode model module month mount mouse move name native navigate next node notify number object
    offset open option order origin outer output overflow owner page paint panel parent parse part paste patch path
    pause payload pending place play point policy pool popup port position post prefix prepare press preview prevent
    print profile progress promise property proxy push query queue quick quote radio range rate read ready record
    redirect reduce refresh register release remove render repeat replace reply report request require reset resize
    resolve resource response restore result retry return reverse right role root rotate route rule sample save
    scale schedule schema scope screen script scroll search second section select send server session shadow shape
    share shift show side signal simple size skip slice slide slot sort source space span split stack start state
    static step stop store stream string style submit suffix switch symbol sync tab table target task template text
    theme thread throttle ticket time title toggle token tool top total touch trace track transform tree trigger
    trim type undo unit unlock update upload user valid value vector verify version view visible wait warn watch
    weight wheel width window worker wrap write zone zoom
""",
)

WORDS = re.findall(
    r"\w+",
    """
    about above across again against almost along already also although always among amount answer around arrive
    asked away balance because become before began behind believe below best better between beyond board bring
    budget building business call came carry centre certain chance change city clear close common company consider
    contract copy cost country couple customer decide delivery department detail different discuss during early
    effect either enough entire evening every example expect fact family feel figure final first follow found friday
    further general give going good great group half hand happen hear help here higher hold hope house however idea
    important include instead interest invoice issue journey just keep kind know large last later learn leave letter
    light little long lower make manager many market matter meeting message might minute monday money month more
    morning most move much must near need never next night nothing notice number offer office often once only open
    order other over page paper part people perhaps person place plan please point possible present price probably
    problem project question quite rather reach ready really reason receive record remember reply report request
    rest result return right room same schedule second seem send service several short should side since small some
    soon sort start state still street summer supplier sure table take talk team thank their then there these they
    thing think third this those though thought three through today together tomorrow total toward train travel
    tuesday under until update usual value version very visit wait want warehouse water week well were what when
    where whether which while whole window winter with within without word work world would write year yesterday
    yours
""",
)

SHORT = "etnroiasculdfhpmgvybxw_SkETCOP"

STATEMENTS = (
    "function {s}({s},{s}){{return {s}.{p}({s}.{p},{s})}}",
    "var {s}={s}({n}),{s}={s}.n({s});",
    "{s}.prototype.{p}=function({s}){{this.{p}={s}.{p}||{d},this.{p}({s})}},",
    "{s}.{p}&&{s}.{p}.{p}({s},{q});",
    'if("{p}"===typeof {s}.{p})return void {s}.{p}({n});',
    "{n}:({s},{s},{s})=>{{{s}.d({s},{{{p}:()=>{s}}});const {s}={s}({n});",
    "for(let {s}=0;{s}<{s}.length;{s}++){s}[{s}].{p}=!{d};",
    "{s}.createElement({q},{{className:{q},{p}:{s}.{p},{p}:()=>{s}(!0)}},{s}),",
    "return {s}.{p}?{s}({q},{s}):{s}.{p}({s}=>{s}.{p}!=={s}),{s}}}",
    "throw new Error({m}+{s}.{p});",
    "{p}:{{{p}:{q},{p}:{n},{p}:!{d}}},",
    "const {{{p}:{s},{p}:{s}={q}}}={s};",
    "try{{{s}.{p}(await {s}.{p}({s}))}}catch({s}){{console.error({m},{s})}}",
    "switch({s}.{p}){{case {q}:return{{...{s},{p}:{s}.{p}}};case {q}:return {s};default:return {s}.{p}}}",
    "Object.defineProperty({s},{q},{{enumerable:!0,get:function(){{return {s}.{p}}}}}),",
    "{s}=null==={s}||void 0==={s}?void 0:{s}.{p},",
    'document.querySelectorAll(".{k}").forEach({s}=>{s}.addEventListener({q},{s}.{p})),',
    "{s}<<{d}|{s}>>>{n},{s}=Math.{p}({s},{n}),",
)

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Conversations</title>
  <link rel="stylesheet" href="/assets/app-52d0c1e9ab.css">
  <script src="/assets/app-3f9a2c1b7d.js" defer></script>
</head>
<body class="layout layout--wide">
<main class="conversations" data-controller="list reveal">
"""

ROW = """  <article class="conversation {k}" id="conversation_{n}"
    data-list-target="item" data-updated="2026-{m}-{d}T{h}:{i}:00Z">
    <a class="conversation__link" href="/accounts/{a}/conversations/{n}?page={p}">
      <img class="avatar avatar--small" src="/avatars/{x}.webp" width="48" height="48" alt="" loading="lazy">
      <h2 class="conversation__title">{t}</h2>
      <p class="conversation__excerpt">{e}</p>
    </a>
    <footer class="conversation__meta">
      <span class="author">{u}</span> <time datetime="2026-{m}-{d}">{d}/{m}</time>
    </footer>
  </article>
"""


def script(size_bytes: int, seed: int) -> bytes:
    """So many bytes of minified JavaScript; it reads like a bundle and is not meant to be run."""
    source = _Source(seed)
    names = [source.name() for _ in range(700)]
    fillers: dict[str, Callable[[], str]] = {
        "s": lambda: source.common(SHORT),
        "p": lambda: source.common(names),
        "q": lambda: f'"{source.common(names)}"',
        "k": lambda: f"{source.pick(STEMS)}-{source.pick(STEMS)}",
        "m": lambda: f'"{source.sentence(3, 9)}"',
        "n": lambda: str(source.below(9999)),
        "d": lambda: str(source.below(2)),
    }
    statements = ['"use strict";(self.webpackChunk=self.webpackChunk||[]).push([[179],{']
    return _of_size(size_bytes, statements, lambda: _filled(source.common(STATEMENTS), fillers))


def page(size_bytes: int, seed: int) -> bytes:
    """So many bytes of HTML: a list of messages with their titles, excerpts, authors and dates."""
    source = _Source(seed)
    return _of_size(size_bytes, [HEAD], lambda: _row(source))


def noise(size_bytes: int, seed: int) -> bytes:
    """So many bytes that do not pack at all, as a picture or an archive."""
    return hashlib.shake_128(b"%d" % seed).digest(size_bytes)


class _Source:
    """Random pieces of text, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""
        return int(self._random() * limit)

    def pick(self, items: Sequence[str]) -> str:
        """Any of `items`."""
        return items[self.below(len(items))]

    def common(self, items: Sequence[str]) -> str:
        """One of `items`, the first ones far more often than the last ones: about as 1 to the rank."""
        return items[int(len(items) ** self._random()) - 1]

    def name(self) -> str:
        """A name of one to three stems in camel case."""
        stems = [self.pick(STEMS) for _ in range(1 + self.below(3))]
        return stems[0] + "".join(stem.capitalize() for stem in stems[1:])

    def sentence(self, least: int, most: int) -> str:
        """From `least` to `most` words that begin with a capital letter."""
        return " ".join(self.pick(WORDS) for _ in range(least + self.below(most - least + 1))).capitalize()


def _filled(pattern: str, fillers: dict[str, Callable[[], str]]) -> str:
    """`pattern` with a fresh piece of text in each of its places."""
    head, *places = pattern.replace("{{", "\0").replace("}}", "\1").split("{")
    pieces = [fillers[place[0]]() + place[2:] for place in places]
    return (head + "".join(pieces)).replace("\0", "{").replace("\1", "}")


def _row(source: _Source) -> str:
    return ROW.format(
        k=source.pick(("unread", "archived", "starred", "read")),
        n=10_000_000 + source.below(90_000_000),
        a=source.below(40),
        p=1 + source.below(9),
        x=f"{source.below(1 << 48):012x}{source.below(1 << 48):012x}",
        m=f"{1 + source.below(12):02}",
        d=f"{1 + source.below(28):02}",
        h=f"{source.below(24):02}",
        i=f"{source.below(60):02}",
        t=source.sentence(2, 7),
        e=f"{source.sentence(14, 32)}. {source.sentence(12, 28)}…",
        u=f"{source.pick(STEMS).capitalize()} {source.pick(WORDS).capitalize()}",
    )


def _of_size(size_bytes: int, parts: list[str], next_part: Callable[[], str]) -> bytes:
    """`parts` and as many more as it takes, cut to the size."""
    total_bytes = sum(len(part.encode()) for part in parts)
    while total_bytes < size_bytes:
        parts.append(next_part())
        total_bytes += len(parts[-1].encode())
    return "".join(parts).encode()[:size_bytes]
