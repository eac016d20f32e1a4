"""Settings: a frozen Config read once from the environment.

`cli` calls `load`; everything else gets the Config. A setting is searched as `THRUST_<NAME>`, then `THRUSTER_<NAME>`,
then by its bare names, ours before Thruster's. An empty variable counts as unset, so that `PORT=${PORT}` in a compose
file is harmless; only an empty `THRUST_SEND_FILE_HEADER` says something (off).

`table` holds the settings, `setting` what is said about each, `values` the kinds of values, `loading` the way from
environment to Config.
"""

from thrust.config.loading import Loaded, Origin, load
from thrust.config.setting import Setting
from thrust.config.table import SETTINGS, Config, default_text
from thrust.config.values import Http2, LogFormat, Restart, Tls

__all__ = [
    "SETTINGS",
    "Config",
    "Http2",
    "Loaded",
    "LogFormat",
    "Origin",
    "Restart",
    "Setting",
    "Tls",
    "default_text",
    "load",
]
