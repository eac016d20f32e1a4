"""What is said about one setting: its variables, its kind of value, its meaning, its place in the documentation.

`table` makes one for each field of Config, and `loading`, `cli` and the test of README's table read them. A setting has
up to three names: ours with a prefix, the one that Thruster (basecamp/thruster) uses, and both with either prefix.
"""

from dataclasses import dataclass, field
from typing import Any

from thrust.config.values import Kind

PREFIXES = ("THRUST_", "THRUSTER_")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table; the field of Config that carries it adds the default.

    `name` is the variable that the documentation uses, `thruster` the one that Thruster has for it (often the same).
    `thruster_kind` reads the latter where Thruster means another kind of value. `default_text` describes a default
    that depends on other settings. `pending` names the feature that this version lacks; empty if it works.
    """

    name: str
    kind: Kind
    meaning: str
    group: str
    thruster: str = ""
    thruster_first: bool = False
    thruster_kind: Kind | None = None
    default_text: str = ""
    pending: str = ""
    secret: bool = False
    empty_is_off: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that may hold this setting, the one that wins first."""
        bare = [name for name in (self.name, self.thruster) if name and not name.startswith("THRUST_")]
        if self.thruster_first:
            bare.reverse()
        stems = [name.removeprefix("THRUST_") for name in (self.name, self.thruster) if name]
        return tuple(dict.fromkeys([prefix + stem for prefix in PREFIXES for stem in stems] + bare))

    def kind_in(self, variable: str) -> Kind:
        """How the value of `variable`, one of `variables`, is read."""
        if self.thruster_kind is not None and variable.endswith(self.thruster):
            return self.thruster_kind
        return self.kind

    def text(self, value: object) -> str:
        """`value` as it may be shown to whoever reads logs."""
        return "(hidden)" if self.secret and value else self.kind.text(value)


def setting(name: str, kind: Kind, default: object, meaning: str, group: str, **rest: Any) -> Any:
    """A field of Config with its `Setting` in the metadata; a secret stays out of Config's repr."""
    described = Setting(name, kind, meaning, group, **rest)
    return field(default=default, repr=not described.secret, metadata={"setting": described})
