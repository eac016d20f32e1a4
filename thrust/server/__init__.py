"""Sockets towards clients. Knows nothing of policies: `service` passes in one Handler and the observers."""
