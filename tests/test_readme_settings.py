"""README.md's table of settings says what thrust/config/table.py says.

`python tests/test_readme_settings.py` prints the table, to be pasted into README.md after a setting was added. Names,
other names, defaults and units are compared; the meaning may be told at more length in README.md.
"""

from pathlib import Path

from thrust.config import SETTINGS, default_text

README = Path(__file__).parent.parent / "README.md"
HEADER = ("Variable", "Thruster's name", "Default", "Unit", "Meaning")


def expected_rows() -> list[tuple[str, ...]]:
    """A row for each setting: variable, other name, default, unit, meaning."""
    return [
        (
            f"`{setting.name}`",
            {"": "", setting.name: "same"}.get(setting.thruster, f"`{setting.thruster}`"),
            default_text(field_name),
            setting.kind.unit,
            setting.meaning + (" *(no effect yet)*" if setting.pending else ""),
        )
        for field_name, setting in SETTINGS.items()
    ]


def table() -> str:
    lines = [HEADER, ("---",) * len(HEADER), *expected_rows()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def rows_of(markdown: str) -> list[tuple[str, ...]]:
    """The rows below the table's header, as cells."""
    _, _, below = markdown.partition(f"| {' | '.join(HEADER)} |\n")
    rows = []
    for line in below.splitlines()[1:]:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return rows


def test_the_readme_lists_the_settings_as_they_are() -> None:
    rows = rows_of(README.read_text(encoding="utf-8"))
    assert [row[:-1] for row in rows] == [row[:-1] for row in expected_rows()]


def test_the_readme_says_which_settings_have_no_effect_yet() -> None:
    rows = rows_of(README.read_text(encoding="utf-8"))
    marked = [row[0] for row in rows if "no effect yet" in row[-1]]
    assert marked == [f"`{setting.name}`" for setting in SETTINGS.values() if setting.pending]


def test_the_printed_table_is_read_back_as_the_settings() -> None:
    assert rows_of(f"# thrust\n\n{table()}\n\nMore text.") == expected_rows()


if __name__ == "__main__":
    print(table())
