"""What the operator says about the certificate authority; `service` fills it in from the environment."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AcmeSettings:
    """Which CA, who we are to it (`eab_*`: a customer by contract, RFC 8555 §7.3.4), and what kind of certificates."""

    directory_url: str
    email: str | None = None
    eab_kid: str | None = None
    eab_hmac_key: bytes | None = field(default=None, repr=False)
    profile: str | None = None
