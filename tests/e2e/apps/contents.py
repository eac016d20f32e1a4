"""What the apps with assets serve; tests import it to know what they have to get."""

import random


def script(size_bytes: int, seed: int = 1) -> bytes:
    """That many bytes that look like a script, and compress like one."""
    chance = random.Random(seed)
    names = ["".join(chance.choices("abcdefgimnoprstuvx", k=chance.randint(1, 9))) for _ in range(300)]
    lines: list[str] = []
    length = 0
    while length < size_bytes:
        one, two, three = chance.choices(names, k=3)
        lines.append(f"function {one}({two}){{return {two}.{three}({chance.randrange(1000)})&&this.{one}}};\n")
        length += len(lines[-1])
    return "".join(lines).encode()[:size_bytes]


SCRIPT = script(100_000)
PAGE = script(300_000, 2)


def numbered_asset(number: int) -> tuple[str, bytes]:
    """The target of one of many assets, and its 20 KB."""
    content = b"var part = %010d;\n%b" % (number, SCRIPT[number : number + 19_980])
    return f"/assets/part{number}-3f9a{number:08x}7dc1.js", content
