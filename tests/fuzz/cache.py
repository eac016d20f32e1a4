"""Plays random stories of clients, cache and worker, and has them judged by tests/support/cache_judge.

    python -m tests.fuzz.cache --seconds 60
    python -m tests.fuzz.cache --seed 7 --only 1234     # one story again, with as few of its steps as will do

`tests/cache/test_model.py` plays some with every test run. Story n of a seed is the same until the maker of stories
changes.
"""

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace

from tests.fuzz.http1 import numbers
from tests.support.cache_plays import complaints
from tests.support.cache_stories import Step, Story, make_story

ENOUGH = 10
"""Findings after which a run ends."""


def story(seed: int, number: int) -> Story:
    """Story `number` of a seed."""
    return make_story(random.Random(f"{seed}/{number}").choice)


def shortened(found: Story) -> Story:
    """A story without the steps that the first complaint about `found` can do without."""
    wanted = complaints(found)[0].partition("\n")[0][:20]
    steps: Sequence[Step] = found.steps
    at = 0
    while at < len(steps):
        fewer = replace(found, steps=[*steps[:at], *steps[at + 1 :]])
        if any(complaint.startswith(wanted) for complaint in complaints(fewer)):
            found, steps = fewer, fewer.steps
        else:
            at += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--only", type=int, default=None, metavar="NUMBER", help="play this story alone")
    arguments = parser.parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    if arguments.only is not None:
        tell(story(seed, arguments.only))
        return
    count = findings = 0
    for number in numbers(arguments.seconds):
        count += 1
        if findings >= ENOUGH:
            break
        for complaint in complaints(story(seed, number)):
            findings += 1
            print(f"--seed {seed} --only {number}: {complaint}", flush=True)
    print(f"seed {seed}: {count} stories, {findings} findings")
    raise SystemExit(1 if findings else 0)


def tell(told: Story) -> None:
    """Prints a story and what is wrong in it."""
    if complaints(told):
        told = shortened(told)
    print(*told.steps, *complaints(told), sep="\n")


if __name__ == "__main__":
    main()
