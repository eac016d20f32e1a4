"""What happens to a request between the client and the worker: one policy per file, their order in `chain.py`."""
