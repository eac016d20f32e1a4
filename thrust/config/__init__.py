"""Settings: a frozen Config read once from the environment.

`cli` calls `load`; everything else gets the Config. A setting is searched as `THRUST_<NAME>`, then `THRUSTER_<NAME>`,
then by its bare names, ours before Thruster's. An empty variable counts as unset, so that `PORT=${PORT}` in a compose
file is harmless; only an empty `THRUST_SEND_FILE_HEADER` says something (off).

`table` holds the settings, `values` the kinds of values, `loading` the way from environment to Config.
"""

from thrust.config.loading import Loaded, Origin, load
from thrust.config.table import SETTINGS, Config, Setting, default_text
from thrust.config.values import Http2, LogFormat, Restart

__all__ = [
    "SETTINGS",
    "Config",
    "Http2",
    "Loaded",
    "LogFormat",
    "Origin",
    "Restart",
    "Setting",
    "default_text",
    "load",
]
