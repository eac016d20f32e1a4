"""Names of hosts, as certificates, clients and settings spell them."""

from ipaddress import ip_address


def normal_host(host: str) -> str:
    """`host` in the one spelling in which it is compared: in lower case, without the root's dot; an address in short.

    An address may stand in brackets, as in a URL (RFC 3986 §3.2.2).
    """
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return host.lower().removesuffix(".")
